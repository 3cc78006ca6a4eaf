"""`handrail applier`, `handrail events` and `handrail replay`."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

STATUSES = ("received", "waiting", "applied", "ignored", "needs_attention")
Endpoint = Annotated[str, typer.Option(help="Key of the endpoint, the last part of its address.")]


def read_time(text: str) -> datetime:
    """A time such as 2026-11-28 or 2026-11-28T09:30, in UTC unless it says otherwise.

    Raises:
        typer.BadParameter: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        words = "is no time; write one such as 2026-11-28 or 2026-11-28T09:30, in UTC"
        raise typer.BadParameter(f"{text!r} {words}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Since = Annotated[
    datetime | None,
    typer.Option(
        parser=read_time, metavar="TIME", help="Received at or after this time, UTC: 2026-11-28."
    ),
]


def applier() -> None:
    """Apply stored webhooks until SIGTERM or Ctrl-C; the batch at hand is finished first."""
    import signal
    import threading

    from handrail.inbox.process import run_applier

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    run_applier(stop)


def events(
    *,
    endpoint: Endpoint = "",
    status: Annotated[
        str, typer.Option(help="received, waiting, applied, ignored or needs_attention.")
    ] = "",
    kind: Annotated[str, typer.Option(help="Such as course.completed.")] = "",
    event_id: Annotated[str, typer.Option(help="The partner's id of the message.")] = "",
    external_id: Annotated[str, typer.Option(help="The partner's id of the enrollment.")] = "",
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    id: Annotated[UUID | None, typer.Option(help="Show this one with its body.")] = None,
) -> None:
    """List stored webhooks, the newest first, or show one."""
    from handrail.inbox.queries import EventSearch, list_events

    if id is not None:
        _show(id)
        return
    if status and status not in STATUSES:
        raise typer.BadParameter(f"a status is one of {', '.join(STATUSES)}")
    _check_endpoint(endpoint)
    search = EventSearch(
        endpoint=endpoint,
        status=status,
        kind=kind,
        event_id=event_id,
        external_id=external_id,
        since=since,
    )
    page = list_events(search, limit=limit)
    for row in page.rows:
        typer.echo(
            f"{row.received_at:%Y-%m-%d %H:%M:%S}  {row.id}  {row.endpoint_key}  {row.status}  "
            f"{row.kind or '-'}  {row.event_id}"
            + (f"  ({row.reason})" if row.reason else "")
            + (f"  [{row.conflicts} with the same id]" if row.conflicts else "")
        )
    if not page.rows:
        typer.echo("No stored webhook matches.")
    elif page.next:
        typer.echo(f"There are older ones: raise --limit (now {limit}) or narrow the search.")


def replay(
    *,
    endpoint: Endpoint = "",
    status: Annotated[str, typer.Option(help="needs_attention or ignored.")] = "needs_attention",
    since: Since = None,
    id: Annotated[list[UUID] | None, typer.Option(help="Only these; may be repeated.")] = None,
    reason: Annotated[str, typer.Option(help="Kept with the event.")] = "replayed by command",
    dry_run: Annotated[bool, typer.Option("--dry-run/--apply")] = True,
) -> None:
    """Have webhooks that need attention (or were ignored) looked at again.

    Says what it would do and does nothing, unless --apply is given. Names those that cannot be
    replayed and goes on; the exit code is 1 then.
    """
    from handrail.inbox.actions import replay_possible

    if status not in ("needs_attention", "ignored"):
        raise typer.BadParameter("only needs_attention and ignored can be replayed")
    if not reason.strip():
        raise typer.BadParameter("a reason is needed")
    _check_endpoint(endpoint)
    count = skipped = 0
    ids = list(dict.fromkeys(id or []))
    for chosen in _choose(ids, endpoint=endpoint, status=status, since=since):
        refused = replay_possible(chosen, reason=reason, dry_run=dry_run)
        for why in refused:
            typer.echo(f"Skipped: {why}", err=True)
        count += len(chosen) - len(refused)
        skipped += len(refused)
    if not dry_run:
        typer.echo(f"Webhooks replayed: {count}.")
    else:
        hint = " Do it with --apply" if count else ""
        typer.echo(f"Webhooks to replay: {count}. Nothing was done.{hint}")
    if skipped:
        raise typer.Exit(1)


def _choose(
    ids: Sequence[UUID], *, endpoint: str, status: str, since: datetime | None
) -> Iterator[Sequence[UUID]]:
    """The events to replay, a page at a time."""
    from handrail.inbox.queries import EventSearch, list_events

    if ids:
        yield ids
        return
    place = ""
    while True:
        search = EventSearch(endpoint=endpoint, status=status, since=since)
        page = list_events(search, place=place, limit=500)
        if page.rows:
            yield [row.id for row in page.rows]
        place = page.next
        if not place:
            return


def _show(event_id: UUID) -> None:
    from handrail.inbox.models import WebhookEvent
    from handrail.inbox.queries import get_event, read_body

    try:
        event = get_event(event_id)
    except WebhookEvent.DoesNotExist:
        raise typer.BadParameter(f"there is no stored webhook {event_id}") from None
    for name, value in (
        ("endpoint", event.endpoint.key),
        ("event id", event.event_id),
        ("received", event.received_at.isoformat()),
        ("sent", event.sent_at.isoformat() if event.sent_at else ""),
        ("status", event.status),
        ("reason", event.reason),
        ("kind", event.kind),
        ("enrollment", event.match_external_id or ""),
        ("attempts", str(event.attempts)),
        ("content type", event.content_type),
        ("sha-256", bytes(event.digest).hex()),
    ):
        typer.echo(f"{name + ':':<14}{value}")
    for decision in event.decisions.order_by("decided_at"):
        who = decision.actor_id or "the command line"
        typer.echo(
            f"{decision.decision}:  {decision.decided_at.isoformat()} by {who}: {decision.reason}"
        )
    body = read_body(event_id)
    typer.echo(f"body ({body.form}):\n{body.text}")
    for conflict in event.conflicts.order_by("received_at"):
        body = read_body(conflict.id)
        typer.echo(f"same id, {conflict.received_at.isoformat()} ({body.form}):\n{body.text}")


def _check_endpoint(key: str) -> None:
    """Tell a mistyped endpoint from one that has nothing."""
    from handrail.inbox.models import WebhookEndpoint

    if key and not WebhookEndpoint.objects.filter(key=key).exists():
        raise typer.BadParameter(f"there is no endpoint {key!r}; see: handrail provider list")
