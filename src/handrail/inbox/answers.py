"""What the ingress answers: each response is made once, the same for everybody."""

import json
from http import HTTPStatus

from handrail.inbox.store import AWAY, CONFLICT, NEW, REFUSED, SEEN, UNKNOWN


class Response:
    """An ASGI response of one JSON object, `{"status": "ok" | "error", "reason": "..."}`."""

    __slots__ = ("body", "closes", "start", "text", "wire_head")

    def __init__(self, status: int, reason: str, *headers: tuple[bytes, bytes]) -> None:
        text = json.dumps({"status": "ok" if status < 300 else "error", "reason": reason}).encode()
        fields = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(text)),
            *headers,
        ]
        self.closes = CLOSE in headers
        self.start = {"type": "http.response.start", "status": status, "headers": fields}
        self.body = {"type": "http.response.body", "body": text, "more_body": self.closes}
        # The same as it stands on the wire, for who writes there without ASGI.
        status_line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
        self.wire_head = status_line + b"".join(b"%b: %b\r\n" % field for field in fields)
        self.text = text


class Answered(Exception):
    """Ends a request early with a response."""

    def __init__(self, response: Response) -> None:
        self.response = response


# Where the body was not read, the connection ends with the answer.
CLOSE = (b"connection", b"close")
_SOON = (b"retry-after", b"2")
_LATER = (b"retry-after", b"60")

UNKNOWN_ENDPOINT = Response(404, "there is no such endpoint", CLOSE)
NOT_POST = Response(405, "only POST is understood here", (b"allow", b"POST"), CLOSE)
TOO_SLOW = Response(408, "the message took too long to arrive", CLOSE)
TOO_BIG = Response(413, "a message may have 1 MiB at most", CLOSE)
NOT_NOW_UNREAD = Response(503, "the message could not be stored now, send it again", _SOON, CLOSE)
CROWDED = Response(503, "too many messages at once, send it again", _SOON)
NO_SECRET = Response(503, "this endpoint has no secret yet, send it again later", _LATER)
NOT_NOW = Response(503, "the message could not be stored now, send it again", _SOON)

AFTER_STORE = {
    NEW: Response(202, "stored"),
    SEEN: Response(200, "seen before"),
    CONFLICT: Response(202, "stored beside another message with the same id"),
    UNKNOWN: Response(404, "there is no such endpoint"),
    AWAY: NOT_NOW,
    REFUSED: Response(503, "the message could not be stored, send it again later", _LATER),
}
