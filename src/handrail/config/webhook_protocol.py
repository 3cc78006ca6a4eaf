"""The short way of a webhook: from the socket to the ingress without ASGI, and back.

Most webhooks arrive in one piece. For those the task, the events and the messages that uvicorn and
ASGI need for each request are about half of what the web process has to do, *measured*. Whatever is
not so simple (a body in parts, an unknown endpoint, a wrong signature, a second request before the
first is answered) goes the usual way.
"""

from collections.abc import Callable
from typing import Any

from handrail.config.http_protocol import BoundedHttpProtocol
from handrail.inbox.answers import Response
from handrail.inbox.ingress import PREFIX, SHORT_WAY
from handrail.inbox.registry import Headers

_PREFIX = PREFIX.encode()

TakeWhole = Callable[[str, Headers, bytes, Callable[[Response], object]], bool]


class WebhookProtocol(BoundedHttpProtocol):
    """Offers each whole webhook to the ingress before ASGI hears of it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._take_whole: TakeWhole | None = self.app_state.get(SHORT_WAY)
        self._held: list[bytes] | None = None
        """The body so far of a message that may go the short way."""

    def on_headers_complete(self) -> None:
        """Hold what looks like a webhook until the end of what was read."""
        if (
            self._take_whole is not None
            and self.url.startswith(_PREFIX)
            and (self.cycle is None or self.cycle.response_complete)  # type: ignore[redundant-expr]
            and not self.expect_100_continue
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
        ):
            self._held = []
            self.end_head()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        if self._held is None:
            super().on_body(body)
        else:
            self._held.append(body)

    def on_message_complete(self) -> None:
        """The whole message is here: the ingress takes it, or it goes the usual way."""
        if self._held is not None:
            exchange = _Exchange(self)
            if self._offer(b"".join(self._held), exchange):
                self._held = None
                self.cycle = exchange  # type: ignore[assignment]
                return
            self._go_the_usual_way()
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """What was read ends in the middle of a message: the rest comes the usual way."""
        super().data_received(data)
        if self._held is not None and not self.transport.is_closing():
            self._go_the_usual_way()

    def _offer(self, body: bytes, exchange: "_Exchange") -> bool:
        if self._take_whole is None:
            return False
        try:
            key = self.url[len(_PREFIX) :].decode("ascii")
            return self._take_whole(key, self.headers, body, exchange.answer)
        except Exception:  # noqa: BLE001 - it happens again the usual way, where it is answered
            return False

    def _go_the_usual_way(self) -> None:
        held, self._held = self._held or [], None
        super().on_headers_complete()
        for body in held:
            super().on_body(body)


class _Nobody:
    """Stands where uvicorn keeps the event that wakes an ASGI application; nobody waits."""

    def set(self) -> None:
        pass


class _Exchange:
    """A request on the short way, in the place of uvicorn's cycle of request and response."""

    __slots__ = ("_protocol", "disconnected", "keep_alive", "response_complete")
    message_event = _Nobody()

    def __init__(self, protocol: WebhookProtocol) -> None:
        self._protocol = protocol
        self.keep_alive = True  # The server takes it away when it is about to end.
        self.disconnected = False
        self.response_complete = False

    def answer(self, response: Response) -> None:
        """Write the response; the connection is free for the next request."""
        self.response_complete = True
        protocol = self._protocol
        if self.disconnected or protocol.transport.is_closing():
            return
        fields = [b"%b: %b\r\n" % field for field in protocol.server_state.default_headers]
        if not self.keep_alive:
            fields.append(b"connection: close\r\n")
        protocol.transport.write(b"".join([response.wire_head, *fields, b"\r\n", response.text]))
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()
