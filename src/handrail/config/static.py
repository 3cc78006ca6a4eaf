"""Static files from memory, compressed, without a build step and without Django's threads.

`{% static %}` adds the file's digest to the address, so that browsers may keep it for a year and
still see a new one at once.
"""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache, lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from asgiref.typing import ASGISendCallable, HTTPScope
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.contrib.staticfiles.storage import StaticFilesStorage

COMPRESSIBLE = ("text/", "application/javascript", "application/json", "image/svg+xml")
FOR_EVER = b"public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file, as it is sent."""

    content: bytes
    compressed: bytes | None
    media_type: str
    version: str


@cache
def list_files() -> dict[str, Path]:
    """Return the files that apps bring, by their name below `static/`."""
    files: dict[str, Path] = {}
    for finder in get_finders():
        for name, storage in finder.list([".*", "*~"]):
            files.setdefault(name, Path(storage.path(name)))
    return files


def find_file(name: str) -> StaticFile | None:
    """Return a file by its name below `static/`; None where there is none."""
    path = list_files().get(name)
    return None if path is None else _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=512)
def _read(path: Path, _changed_at: int) -> StaticFile:
    content = path.read_bytes()
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    compressed = gzip.compress(content, mtime=0) if media_type.startswith(COMPRESSIBLE) else None
    if media_type.startswith("text/"):
        media_type += "; charset=utf-8"
    return StaticFile(content, compressed, media_type, hashlib.sha256(content).hexdigest()[:16])


class VersionedStaticFilesStorage(StaticFilesStorage):
    """Adds `?v=<digest>` to the addresses that templates write."""

    def url(self, name: str | None) -> str:
        """Return the address of a static file."""
        found = find_file(name) if name else None
        return f"{super().url(name)}?v={found.version}" if found else super().url(name)


async def serve_static(scope: HTTPScope, send: ASGISendCallable) -> None:
    """Answer a request below `settings.STATIC_URL`."""
    found = find_file(scope["path"].removeprefix(settings.STATIC_URL))
    if found is None or scope["method"] not in ("GET", "HEAD"):
        await _answer(send, HTTPStatus.NOT_FOUND, [], b"")
        return
    asked = dict(scope["headers"])
    tag = f'"{found.version}"'.encode()
    current = scope["query_string"] == f"v={found.version}".encode()
    headers = [
        (b"cache-control", FOR_EVER if current else b"no-cache"),
        (b"etag", tag),
        (b"vary", b"accept-encoding"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if asked.get(b"if-none-match") == tag:
        await _answer(send, HTTPStatus.NOT_MODIFIED, headers, None)
        return
    content = found.content
    if found.compressed is not None and b"gzip" in asked.get(b"accept-encoding", b""):
        content = found.compressed
        headers.append((b"content-encoding", b"gzip"))
    headers.append((b"content-type", found.media_type.encode()))
    await _answer(send, HTTPStatus.OK, headers, content)


async def _answer(
    send: ASGISendCallable,
    status: HTTPStatus,
    headers: list[tuple[bytes, bytes]],
    content: bytes | None,
) -> None:
    if content is not None:
        headers = [*headers, (b"content-length", str(len(content)).encode())]
    start: Any = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": content or b"", "more_body": False})
