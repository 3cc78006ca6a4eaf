"""The partner's own pages: people and enrollments, as the partner's office sees them."""

import json
import sqlite3
import time
from functools import partial

from aiohttp import web
from yarl import URL

from handrail_sandbox.actions import load_enrollment
from handrail_sandbox.by_hand import act
from handrail_sandbox.clock import parse_time
from handrail_sandbox.config import Partner
from handrail_sandbox.markup import Child, Markup, button, facts, link, notice, respond_page, tag
from handrail_sandbox.parts import (
    DONE_WORDS,
    get_status_text,
    read_form,
    show_buttons,
    show_certificate,
    show_enrollment_facts,
    show_time,
)
from handrail_sandbox.people import People, find_people
from handrail_sandbox.reading import find_certificate, may_read, switch_reading
from handrail_sandbox.runtime import Runtime
from handrail_sandbox.shapes import get_course, get_percent
from handrail_sandbox.world import Refusal

POSSIBLE = {
    "active": ("start", "progress", "complete", "fail", "unenroll"),
    "completed": ("revoke",),
    "failed": ("complete", "reopen", "unenroll"),
    "ended": ("reopen",),
}
WEBHOOKS_SHOWN = 20


class OfficePages:
    """The pages of one platform for its own people."""

    def __init__(self, runtime: Runtime, partner: Partner) -> None:
        self.runtime = runtime
        self.partner = partner
        self.site = partner.platform.name
        self.root = f"/{partner.platform.slug}"

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get(f"{self.root}/", self.show_people)
        router.add_post(f"{self.root}/reading", self.allow_reading)
        router.add_get(f"{self.root}/enrollments/{{id}}", self.show_enrollment)
        router.add_post(f"{self.root}/enrollments/{{id}}", self.change_enrollment)

    async def show_people(self, request: web.Request) -> web.Response:
        words = request.query.get("q", "").strip()[:100]
        before = request.query.get("before", "")[:15]
        find = partial(
            find_people,
            slug=self.partner.platform.slug,
            words=words,
            before=int(before) if before.isascii() and before.isdigit() else None,
        )
        people = await self.runtime.store.run(find)
        reads = await self.runtime.store.run(partial(may_read, slug=self.partner.platform.slug))
        return respond_page(
            "People",
            self._show_working(),
            None if reads else self._offer_reading(),
            _show_search(words),
            self._list_people(people) or tag("p", "Nobody is here."),
            self._link_older(people, words),
            tag("p", link("All partners", "/")),
            site=self.site,
        )

    async def allow_reading(self, request: web.Request) -> web.Response:
        slug = self.partner.platform.slug
        await self.runtime.store.run(partial(switch_reading, slug=slug, value="on"))
        raise web.HTTPSeeOther(f"{self.root}/")

    async def show_enrollment(self, request: web.Request) -> web.Response:
        done = DONE_WORDS.get(request.query.get("done", ""))
        return await self._render(request.match_info["id"], notice(done) if done else None)

    async def change_enrollment(self, request: web.Request) -> web.Response:
        id, action = request.match_info["id"], (await read_form(request)).get("action", "")
        try:
            await self.runtime.store.run(
                partial(
                    act,
                    world=self.runtime.world,
                    partner=self.partner,
                    id=id,
                    action=action,
                    path=request.path,
                    now=time.time(),
                )
            )
        except Refusal as refusal:
            return await self._render(id, notice(str(refusal), is_error=True), refusal.status)
        raise web.HTTPSeeOther(f"{self.root}/enrollments/{id}?done={action}")

    async def _render(self, id: str, message: Child, status: int = 200) -> web.Response:
        look = partial(_look_at_enrollment, partner=self.partner, id=id)
        try:
            row, certificate, webhooks = await self.runtime.store.run(look)
        except Refusal as refusal:
            back = tag("p", link("People", f"{self.root}/"))
            return respond_page("Not found", str(refusal), back, site=self.site, status=404)
        return respond_page(
            get_course(self.partner, row["course"]).title,
            message,
            tag(
                "section",
                show_enrollment_facts(self.partner, row),
                show_certificate(self.runtime.world, self.partner, certificate),
            ),
            tag("h2", "What the partner or the learner can do"),
            show_buttons(self.partner, row, POSSIBLE[row["status"]]),
            tag("h2", "Webhooks"),
            _list_webhooks(webhooks),
            tag("p", link("People", f"{self.root}/")),
            site=self.site,
            status=status,
        )

    def _show_working(self) -> Child:
        count = self.runtime.working[self.partner.platform.slug]
        if not count:
            return None
        return notice(f"Requests still being worked on: {count}. Look again in a moment.")

    def _offer_reading(self) -> Markup:
        return tag(
            "form",
            notice("The school's key may not read progress or certificates.", is_error=True),
            button("Let the school's key read"),
            method="post",
            action=f"{self.root}/reading",
        )

    def _list_people(self, people: People) -> Child:
        items = [
            tag(
                "li",
                tag("strong", f"{row['first_name']} {row['last_name']}".strip()),
                facts(("E-mail", row["email"]), ("Account", row["id"])),
                tag("ul", [self._show_line(it) for it in people.enrollments.get(row["id"], [])]),
            )
            for row in people.accounts
        ]
        return tag("ul", items, class_="cards") if items else None

    def _show_line(self, row: sqlite3.Row) -> Markup:
        words = f" {row['course']}: {get_status_text(self.partner, row)},"
        percent = f" {get_percent(self.partner, row)}%"
        return tag("li", link(row["id"], f"{self.root}/enrollments/{row['id']}"), words, percent)

    def _link_older(self, people: People, words: str) -> Child:
        if people.next_before is None:
            return None
        url = URL(f"{self.root}/").with_query(q=words, before=people.next_before)
        return tag("p", link("Older", str(url)))


def _show_search(words: str) -> Markup:
    return tag(
        "form",
        tag("label", "Name, e-mail, account or enrollment id", for_="q"),
        tag("input", id="q", name="q", type="search", value=words),
        button("Search"),
        method="get",
        role="search",
    )


def _look_at_enrollment(
    db: sqlite3.Connection, partner: Partner, id: str
) -> tuple[sqlite3.Row, sqlite3.Row | None, list[sqlite3.Row]]:
    row = load_enrollment(db, partner, id)
    webhooks = db.execute(
        "SELECT * FROM webhooks WHERE enrollment = ? ORDER BY number DESC LIMIT ?",
        (id, WEBHOOKS_SHOWN),
    ).fetchall()
    return row, find_certificate(db, id), webhooks


def _list_webhooks(webhooks: list[sqlite3.Row]) -> Markup:
    if not webhooks:
        return tag("p", "None so far.")
    items = [
        tag(
            "li",
            tag("strong", row["event"]),
            facts(
                ("Happened", show_time(parse_time(json.loads(row["body"])["timestamp"]))),
                ("State", "waiting" if row["state"] == "sending" else row["state"]),
                ("Sent", f"{row['attempts']}×" if row["attempts"] else ""),
                ("Last answer", row["last_answer"]),
                ("Next try", show_time(row["due_at"]) if row["state"] == "waiting" else ""),
            ),
        )
        for row in webhooks
    ]
    return tag("ul", items, class_="cards")
