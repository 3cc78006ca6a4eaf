"""What registers with the inbox. It knows no partner: those who do call these at start-up."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol
from uuid import UUID

from handrail.core.direct_connection import DirectConnection

Headers = Sequence[tuple[bytes, bytes]]
"""Request headers as ASGI gives them: names in lower case, in their order, repeats kept."""


class Authentic(NamedTuple):
    """A message that its sender signed."""

    event_id: bytes = b""
    """The sender's id of the event as it stood in the header; empty: the scheme has none."""
    sent_at: datetime | None = None
    """The signed time (UTC); None: the scheme has none."""


class NotAuthentic(Exception):
    """The message is not its sender's; the reason is short, plain and shows no secret.

    What to do: answer 401, count it, do not store the message.
    """


class Verifier(Protocol):
    """Checks signatures over the raw bytes; one for every scheme there is."""

    def __call__(
        self, scheme: str, headers: Headers, body: bytes, secrets: Sequence[bytes], *, now: float
    ) -> Authentic:
        """Return what the sender signed; any of `secrets` may have signed it.

        Args:
            scheme: name of the signature scheme, as in `webhook_endpoints.scheme`.
            headers: the request's headers.
            body: the request's body, untouched.
            secrets: the live secrets in plain bytes, the current one first.
            now: seconds since 1970, UTC.

        Raises:
            NotAuthentic: missing or wrong signature, or a time outside the tolerance.
        """


class ParsedEvent(NamedTuple):
    """A stored event whose bytes are checked and whose JSON is read."""

    id: UUID
    endpoint_id: UUID
    organization_id: UUID | None
    """From the endpoint; None: the handler finds it (Stripe)."""
    provider_id: UUID | None
    event_id: str
    received_at: datetime
    sent_at: datetime | None
    message: Mapping[str, Any]
    attempts: int = 0
    """How often applying it has failed before."""


class Outcome(NamedTuple):
    """What became of one event."""

    id: UUID
    status: Literal["applied", "ignored", "waiting", "needs_attention"]
    reason: str = ""
    """Plain words for a person; required unless applied."""
    kind: str = ""
    """What it was translated to, for search: `course.completed`, several joined by a space."""
    match_external_id: str = ""
    """The partner's enrollment id it speaks of; a waiting event is woken by it."""


class Handler(Protocol):
    """Applies a batch of events inside the transaction that it is given."""

    def __call__(
        self, connection: DirectConnection, events: Sequence[ParsedEvent], /
    ) -> Sequence[Outcome]:
        """Return one outcome for each event, in any order.

        Called with the events of one kind of endpoint in the order they were received. Any
        exception undoes the batch; it is then tried in halves until the event that raises stands
        alone. It must not commit, roll back, or leave the connection in another mode.
        """


_verifiers: list[Verifier] = []
_handlers: dict[str, Handler] = {}


def register_schemes(verify: Verifier) -> None:
    """Take the verifier of all signature schemes; the last one registered stands."""
    _verifiers[:] = [verify]


def register_handler(kind: str, handler: Handler) -> None:
    """Take the handler of endpoints of this kind (`partner`, `stripe`); the last one stands."""
    _handlers[kind] = handler


def get_verifier() -> Verifier:
    """The registered verifier.

    Raises:
        LookupError: none is; an app's `ready()` must call `register_schemes`.
    """
    if not _verifiers:
        raise LookupError("no verifier is registered: an app's ready() calls register_schemes")
    return _verifiers[0]


def find_handler(kind: str) -> Handler | None:
    """The handler of this kind of endpoint, if one is registered."""
    return _handlers.get(kind)
