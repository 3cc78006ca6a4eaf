"""`handrail import-roster`, `import-results`, `reconcile` and `check`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from handrail.enrollments.reconciling import Tally

File = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="CSV, in UTF-8.")
]


def import_roster(
    file: File,
    *,
    organization: Annotated[
        str, typer.Option(help="Slug; needed where there are several organizations.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
) -> None:
    """Make the learners in FILE known and enroll them; a repeat changes nothing.

    Good rows are taken, each bad one is told with its line. What is known already stays: where a
    row says something else, that is told too. Ends with 1 only if there are rows and none is taken.
    """
    from handrail.enrollments.roster import import_roster as take_over
    from handrail.organizations.actions import find_organization

    found = find_organization(organization)
    with file.open("rb") as stream:
        report = take_over(stream, organization=found, tell=typer.echo, dry_run=dry_run)
    typer.echo(
        f"Rows taken: {report.rows_taken} of {report.rows}. Not taken: {report.rows_refused}. "
        f"Known before: {report.rows_known}. "
        f"Added: people {report.people_added}, enrollments {report.enrollments_added}."
    )
    if dry_run:
        typer.echo("Nothing was changed. Do it without --dry-run.")
    if report.rows_refused and not report.rows_taken:
        raise typer.Exit(1)


def import_results(
    provider: Annotated[str, typer.Argument(help="The provider's slug.")],
    file: File,
    *,
    organization: Annotated[
        str, typer.Option(help="Slug; needed where two have such a provider.")
    ] = "",
) -> None:
    """Take over who completed which course at PROVIDER; a repeat changes nothing.

    Columns: email, course (the partner's code), completed_on (such as 2026-09-01). Ends with 1 only
    if there are rows and none is taken.
    """
    from handrail.enrollments.results import import_results as take_over
    from handrail.partners.actions import find_provider

    found = find_provider(provider, organization_slug=organization)
    with file.open("rb") as stream:
        report = take_over(stream, provider=found, tell=typer.echo, source=file.name)
    typer.echo(
        f"Completions taken over: {report.completed}. Completed before: {report.known}. "
        f"Not taken: {report.rows_refused}."
    )
    if report.rows_refused and not report.completed + report.known:
        raise typer.Exit(1)


def reconcile(
    *,
    provider: Annotated[str, typer.Option(help="Only providers of this slug.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the differences, change nothing.")
    ] = False,
) -> None:
    """Ask the partners now how far their learners are, and take over what differs.

    The worker does the same all the time, spread over HANDRAIL_RECONCILE_SECONDS.
    """
    import asyncio

    from handrail.partners.models import Provider

    if provider and not Provider.objects.filter(slug=provider).exists():
        raise typer.BadParameter(f"there is no provider {provider!r}; see: handrail provider list")
    tally = asyncio.run(_go_round(provider, dry_run=dry_run))
    for each in tally.differences:
        what = f"{each.fact.kind} {each.fact.percent or ''}".strip()
        told = f"{each.outcome}: {each.reason}" if each.reason else each.outcome
        typer.echo(f"{each.provider}  {each.fact.external_enrollment_id}  {what}  ({told})")
    typer.echo(
        f"Questions: {tally.asked}. Without an answer: {tally.unanswered}. "
        f"Differences: {len(tally.differences)}."
    )
    if dry_run and tally.differences:
        typer.echo("Nothing was changed. Take them over without --dry-run.")


def check() -> None:
    """Count what breaks a promise in the database, a line each; exit code 1 if anything does."""
    from handrail.enrollments.promises import check_promises, describe

    violations = check_promises()
    typer.echo("\n".join(describe(violations)))
    if violations:
        raise typer.Exit(1)


async def _go_round(slug: str, *, dry_run: bool) -> "Tally":
    import asyncio

    from django.conf import settings

    from handrail.core.crypto import Keyring
    from handrail.core.refusal import Refusal
    from handrail.core.worker import make_context
    from handrail.enrollments.reconciling import Reconciler

    context = make_context(asyncio.Event())
    reconciler = Reconciler(context, Keyring(settings.HANDRAIL_SECRET_KEYS))
    try:
        if await reconciler.is_held():
            raise Refusal(
                "Calls to partners are held since a restore. Look around, then let them out: "
                "handrail release-outbound"
            )
        return await reconciler.go_round(slug=slug, dry_run=dry_run)
    finally:
        await reconciler.close()
        await context.pool.close()
