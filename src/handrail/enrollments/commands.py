"""`handrail reconcile`."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from handrail.enrollments.reconciling import Tally


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

    tally = asyncio.run(_go_round(provider, dry_run=dry_run))
    for each in tally.differences:
        what = f"{each.fact.kind} {each.fact.percent or ''}".strip()
        told = f"{each.outcome}: {each.reason}" if each.reason else each.outcome
        typer.echo(f"{each.provider}  {each.fact.external_enrollment_id}  {what}  ({told})")
    typer.echo(
        f"{tally.asked} questions, {tally.unanswered} without an answer, "
        f"{len(tally.differences)} differences."
    )
    if dry_run and tally.differences:
        typer.echo("Nothing was changed. Take them over without --dry-run.")


async def _go_round(slug: str, *, dry_run: bool) -> "Tally":
    import asyncio

    from django.conf import settings

    from handrail.core.crypto import Keyring
    from handrail.core.worker import make_context
    from handrail.enrollments.reconciling import Reconciler

    context = make_context(asyncio.Event())
    reconciler = Reconciler(context, Keyring(settings.HANDRAIL_SECRET_KEYS))
    try:
        if await reconciler.is_held():
            raise typer.BadParameter(
                "calls to partners are held back after a restore; see handrail release-outbound"
            )
        return await reconciler.go_round(slug=slug, dry_run=dry_run)
    finally:
        await reconciler.close()
        await context.pool.close()
