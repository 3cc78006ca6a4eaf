"""The hosted portal of JRI: people sign up by themselves; the partner's results are a file."""

import asyncio
import csv
import io
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from aiohttp import web

from handrail_sandbox.by_hand import note_by_hand
from handrail_sandbox.clock import to_date
from handrail_sandbox.config import Course, Partner
from handrail_sandbox.enrolling import find_obstacle, insert_enrollment
from handrail_sandbox.learner import LearnerPages, begin_session
from handrail_sandbox.markup import Child, button, field, link, notice, respond_page, tag
from handrail_sandbox.parts import read_form
from handrail_sandbox.people import find_by_email, insert_account
from handrail_sandbox.runtime import Runtime
from handrail_sandbox.validation import take_email, take_text
from handrail_sandbox.world import Refusal, World

WRITE_SECONDS = 0.2  # the file is written at most so often


class Portal:
    """Catalog, sign-up and results of a platform with a portal."""

    def __init__(self, runtime: Runtime, partner: Partner, pages: LearnerPages) -> None:
        self.runtime = runtime
        self.partner = partner
        self.pages = pages
        self.site = partner.platform.name
        self.root = f"/{partner.platform.slug}"

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get(f"{self.root}/portal", self.show_catalog)
        router.add_get(f"{self.root}/portal/{{code}}", self.show_course)
        router.add_post(f"{self.root}/portal/{{code}}", self.sign_up)
        router.add_get(f"{self.root}/results.csv", self.download_results)

    async def show_catalog(self, request: web.Request) -> web.Response:
        items = [
            tag("li", link(it.title, f"{self.root}/portal/{it.code}"), f", {it.hours:g} hours")
            for it in self.partner.courses.values()
        ]
        have = tag("p", link("I have an account", f"{self.root}/login"))
        return respond_page("Courses", tag("ul", items, class_="cards"), have, site=self.site)

    async def show_course(self, request: web.Request) -> web.Response:
        return self._show_form(self._get_course(request), None)

    async def sign_up(self, request: web.Request) -> web.Response:
        course, form = self._get_course(request), await read_form(request)
        join = partial(
            join_course,
            world=self.runtime.world,
            partner=self.partner,
            course=course.code,
            form=form,
            path=request.path,
        )
        try:
            session, enrollment = await self.runtime.store.run(partial(join, now=time.time()))
        except Refusal as refusal:
            return self._show_form(course, notice(str(refusal), is_error=True), form, status=422)
        return self.pages.go_on(f"/learn/{enrollment}", session=session)

    async def download_results(self, request: web.Request) -> web.Response:
        text = await self.runtime.store.run(
            partial(format_results, world=self.runtime.world, partner=self.partner)
        )
        headers = {"Content-Disposition": 'attachment; filename="results.csv"'}
        return web.Response(text=text, content_type="text/csv", headers=headers)

    def _get_course(self, request: web.Request) -> Course:
        course = self.partner.courses.get(request.match_info["code"])
        if course is None:
            raise web.HTTPNotFound(text="There is no such course.")
        return course

    def _show_form(
        self,
        course: Course,
        message: Child,
        form: dict[str, str] | None = None,
        *,
        status: int = 200,
    ) -> web.Response:
        given = form or {}
        fields = tag(
            "form",
            field("Your name", "name", value=given.get("name", ""), hint="name"),
            field("Your e-mail", "email", value=given.get("email", ""), kind="email", hint="email"),
            button("Sign up and start"),
            method="post",
        )
        hours = tag("p", f"{course.hours:g} hours. {course.credential}")
        other = tag("p", link("All courses", f"{self.root}/portal"))
        return respond_page(
            course.title, hours, message, fields, other, site=self.site, status=status
        )


def join_course(
    db: sqlite3.Connection,
    *,
    world: World,
    partner: Partner,
    course: str,
    form: dict[str, str],
    path: str,
    now: float,
) -> tuple[str, str]:
    """Sign a person up, or go on with what is there; return a session and the enrollment."""
    email = take_email(form)
    name = take_text(form, "name")
    account = find_by_email(db, partner, email)
    if account is None:
        first, _, last = name.partition(" ")
        account = insert_account(
            db, partner, first_name=first, last_name=last.strip(), email=email, now=now
        )
    enrollment = find_obstacle(db, partner, account["id"], course)
    outcome = "existing"
    if enrollment is None:
        outcome = "created"
        enrollment = insert_enrollment(
            db, world, partner, account=account["id"], course=course, now=now
        )
    note_by_hand(db, partner, enrollment, operation="sign_up", path=path, now=now, outcome=outcome)
    slug = partner.platform.slug
    return begin_session(db, slug=slug, account=account["id"], now=now), enrollment["id"]


def format_results(db: sqlite3.Connection, world: World, partner: Partner) -> str:
    """Return the partner's file: everybody who completed something, oldest first."""
    rows = db.execute(
        "SELECT a.email, e.course, e.closed_at FROM enrollments e"
        " JOIN accounts a ON a.id = e.account"
        " WHERE e.partner = ? AND e.status = 'completed' ORDER BY e.closed_at, e.number",
        (partner.platform.slug,),
    )
    dated = ((it[0], it[1], to_date(it[2], world.config.zone).isoformat()) for it in rows)
    return _format_csv(dated)


async def keep_results_file(runtime: Runtime, partner: Partner, path: Path) -> None:
    """Keep the file up to date until cancelled; readers see the old or the new one, whole."""
    changed = runtime.store.listen()
    written = None
    while True:
        changed.clear()
        text = await runtime.store.run(
            partial(format_results, world=runtime.world, partner=partner)
        )
        if text != written:
            await asyncio.to_thread(_write_whole, path, text)
            written = text
        await asyncio.sleep(WRITE_SECONDS)
        await changed.wait()


def _format_csv(rows: Iterable[tuple[str, str, str]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("email", "course", "completed_on"))
    writer.writerows(rows)
    return out.getvalue()


def _write_whole(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
