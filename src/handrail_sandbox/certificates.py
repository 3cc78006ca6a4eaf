"""The partner's certificates: a PDF and a page to verify it, at addresses that nobody guesses."""

import asyncio
import sqlite3
from functools import partial

import typst
from aiohttp import web

from handrail_sandbox.config import Partner
from handrail_sandbox.markup import facts, notice, respond_page, tag
from handrail_sandbox.runtime import Runtime
from handrail_sandbox.shapes import get_course

SHEET = b"""
#let data = sys.inputs
#set page(paper: "us-letter", flipped: true, margin: 1in)
#set text(size: 16pt)
#set document(title: data.title)
#align(center + horizon)[
  #text(size: 20pt)[#data.partner (sandbox)]
  #v(1em)
  #text(size: 34pt)[#data.title]
  #v(1em)
  #text(size: 24pt)[#data.name]
  #v(1em)
  Number #data.number, issued #data.issued#if data.expires != "" [, valid until #data.expires]
]
"""


class Certificates:
    """Download and verification of one platform's certificates."""

    def __init__(self, runtime: Runtime, partner: Partner) -> None:
        self.runtime = runtime
        self.partner = partner

    def add_routes(self, router: web.UrlDispatcher) -> None:
        root = f"/{self.partner.platform.slug}/certificates"
        router.add_get(f"{root}/{{token}}.pdf", self.download)
        router.add_get(f"{root}/{{token}}.html", self.verify)

    async def download(self, request: web.Request) -> web.Response:
        row = await self._load(request)
        if row["revoked_at"]:
            raise web.HTTPGone(text="This certificate was taken back.")
        pdf = await asyncio.to_thread(self._print, row)
        headers = {"Content-Disposition": f'inline; filename="{row["printed"]}.pdf"'}
        return web.Response(body=pdf, content_type="application/pdf", headers=headers)

    async def verify(self, request: web.Request) -> web.Response:
        row = await self._load(request)
        words = notice("This certificate is valid.")
        if row["revoked_at"]:
            words = notice("This certificate was taken back.", is_error=True)
        shown = facts(
            ("Number", row["printed"]),
            ("Person", row["name"]),
            ("For", self._get_title(row)),
            ("Issued", row["issued_on"]),
            ("Valid until", row["expires_on"] or ""),
        )
        site = self.partner.platform.name
        return respond_page("Certificate", words, tag("section", shown), site=site)

    async def _load(self, request: web.Request) -> sqlite3.Row:
        load = partial(
            _load_certificate,
            slug=self.partner.platform.slug,
            token=request.match_info["token"],
        )
        row = await self.runtime.store.run(load)
        if row is None:
            raise web.HTTPNotFound(text="There is no such certificate.")
        return row

    def _get_title(self, row: sqlite3.Row) -> str:
        course = get_course(self.partner, row["course"])
        return course.credential or course.title

    def _print(self, row: sqlite3.Row) -> bytes:
        inputs = {
            "partner": self.partner.platform.name,
            "title": self._get_title(row),
            "name": row["name"],
            "number": row["printed"],
            "issued": row["issued_on"],
            "expires": row["expires_on"] or "",
        }
        return bytes(typst.compile(SHEET, format="pdf", sys_inputs=inputs))


def _load_certificate(db: sqlite3.Connection, slug: str, token: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(
        "SELECT c.*, e.course, trim(a.first_name || ' ' || a.last_name) AS name"
        " FROM certificates c JOIN enrollments e ON e.id = c.enrollment"
        " JOIN accounts a ON a.id = e.account WHERE c.token = ? AND c.partner = ?",
        (token, slug),
    ).fetchone()
    return row
