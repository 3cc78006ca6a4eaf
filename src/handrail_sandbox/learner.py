"""The learner's own pages: a launch URL opens them, or signing in with the address alone."""

import sqlite3
import time
from functools import partial

from aiohttp import web

from handrail_sandbox.actions import load_enrollment
from handrail_sandbox.by_hand import act
from handrail_sandbox.config import Partner
from handrail_sandbox.markup import Child, button, field, link, notice, respond_page, tag
from handrail_sandbox.parts import (
    DONE_WORDS,
    get_status_text,
    read_form,
    show_buttons,
    show_certificate,
    show_enrollment_facts,
)
from handrail_sandbox.people import find_by_email
from handrail_sandbox.reading import digest_token, find_certificate, issue_token
from handrail_sandbox.runtime import Runtime
from handrail_sandbox.shapes import get_course
from handrail_sandbox.world import Refusal

SESSION_SECONDS = 8 * 3600.0
POSSIBLE = {
    "active": ("start", "progress", "complete", "fail"),
    "completed": (),
    "failed": ("complete",),
    "ended": (),
}


class LearnerPages:
    """The pages of one platform for a signed-in learner."""

    def __init__(self, runtime: Runtime, partner: Partner) -> None:
        self.runtime = runtime
        self.partner = partner
        self.slug = partner.platform.slug
        self.site = partner.platform.name
        self.root = f"/{self.slug}"

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get(f"{self.root}/launch/{{token}}", self.open_launch)
        router.add_get(f"{self.root}/login", self.show_login)
        router.add_post(f"{self.root}/login", self.sign_in)
        router.add_get(f"{self.root}/my", self.show_courses)
        router.add_get(f"{self.root}/learn/{{id}}", self.show_course)
        router.add_post(f"{self.root}/learn/{{id}}", self.study)

    async def open_launch(self, request: web.Request) -> web.Response:
        """Use up the token, sign the learner in, and go to the course."""
        use = partial(use_launch, slug=self.slug, token=request.match_info["token"])
        used = await self.runtime.store.run(partial(use, now=time.time()))
        if used is None:
            words = "This link was used or is too old. Go back to your school and launch again."
            return respond_page(
                "Link not valid", notice(words, is_error=True), site=self.site, status=410
            )
        return self.go_on(f"/learn/{used[1]}", session=used[0])

    async def show_login(self, request: web.Request) -> web.Response:
        return self._show_login(None)

    async def sign_in(self, request: web.Request) -> web.Response:
        """Sign in with the address alone: a sandbox has no passwords to keep."""
        email = (await read_form(request)).get("email", "").strip()
        session = await self.runtime.store.run(
            partial(begin_session_by_email, partner=self.partner, email=email, now=time.time())
        )
        if session is None:
            words = "No account has this e-mail address. Check it, or ask your school."
            return self._show_login(notice(words, is_error=True), email=email, status=422)
        return self.go_on("/my", session=session)

    async def show_courses(self, request: web.Request) -> web.Response:
        session = await self._load_session(request)
        if session is None:
            raise web.HTTPSeeOther(f"{self.root}/login")
        rows = await self.runtime.store.run(partial(_list_courses, account=session["account"]))
        items = [
            tag(
                "li",
                link(
                    get_course(self.partner, row["course"]).title, f"{self.root}/learn/{row['id']}"
                ),
                f": {get_status_text(self.partner, row)}",
            )
            for row in rows
        ]
        body = tag("ul", items, class_="cards") if items else tag("p", "No courses yet.")
        return respond_page("Your courses", body, site=self.site)

    async def show_course(self, request: web.Request) -> web.Response:
        done = DONE_WORDS.get(request.query.get("done", ""))
        return await self._render(request, notice(done) if done else None)

    async def study(self, request: web.Request) -> web.Response:
        id, action = request.match_info["id"], (await read_form(request)).get("action", "")
        session = await self._load_session(request)
        if session is None:
            raise web.HTTPSeeOther(f"{self.root}/login")
        work = partial(
            self._study, account=session["account"], id=id, action=action, path=request.path
        )
        try:
            await self.runtime.store.run(work)
        except Refusal as refusal:
            return await self._render(request, notice(str(refusal), is_error=True), refusal.status)
        raise web.HTTPSeeOther(f"{self.root}/learn/{id}?done={action}")

    def go_on(self, path: str, *, session: str) -> web.Response:
        """Answer 303 to a path of this platform, signed in."""
        answer = web.Response(status=303, headers={"Location": f"{self.root}{path}"})
        answer.set_cookie(
            f"sandbox_{self.slug}",
            session,
            path=self.root,
            httponly=True,
            samesite="Lax",
            max_age=int(SESSION_SECONDS),
        )
        return answer

    def _study(
        self, db: sqlite3.Connection, *, account: str, id: str, action: str, path: str
    ) -> None:
        row = _load_own(db, self.partner, account, id)
        if action not in POSSIBLE[row["status"]]:
            raise Refusal(409, "not_possible", "This is not possible now.")
        act(
            db,
            self.runtime.world,
            self.partner,
            id,
            action=action,
            path=path,
            now=time.time(),
        )

    async def _render(
        self, request: web.Request, message: Child, status: int = 200
    ) -> web.Response:
        session = await self._load_session(request)
        if session is None:
            raise web.HTTPSeeOther(f"{self.root}/login")
        look = partial(_look_at_own, partner=self.partner, account=session["account"])
        try:
            row, certificate = await self.runtime.store.run(
                partial(look, id=request.match_info["id"])
            )
        except Refusal as refusal:
            return respond_page(
                "Not found", notice(str(refusal), is_error=True), site=self.site, status=404
            )
        back = session["return_url"]
        return respond_page(
            get_course(self.partner, row["course"]).title,
            message,
            show_buttons(self.partner, row, POSSIBLE[row["status"]]),
            tag(
                "section",
                show_enrollment_facts(self.partner, row),
                show_certificate(self.runtime.world, self.partner, certificate),
            ),
            tag("p", link("Your courses", f"{self.root}/my")),
            tag("p", link("Back to your school", back)) if back else None,
            site=self.site,
            status=status,
        )

    def _show_login(self, message: Child, *, email: str = "", status: int = 200) -> web.Response:
        form = tag(
            "form",
            field("E-mail", "email", value=email, kind="email", hint="email"),
            button("Sign in"),
            method="post",
        )
        return respond_page("Sign in", message, form, site=self.site, status=status)

    async def _load_session(self, request: web.Request) -> sqlite3.Row | None:
        token = request.cookies.get(f"sandbox_{self.slug}", "")
        load = partial(_load_token, slug=self.slug, kind="session", token=token, now=time.time())
        return await self.runtime.store.run(load)


def use_launch(db: sqlite3.Connection, slug: str, token: str, now: float) -> tuple[str, str] | None:
    """Use up a launch token; return a new session and the enrollment, or None."""
    db.execute("DELETE FROM tokens WHERE expires_at < ?", (now - 86400,))
    row = _load_token(db, slug=slug, kind="launch", token=token, now=now)
    if row is None:
        return None
    db.execute("UPDATE tokens SET used_at = ? WHERE digest = ?", (now, row["digest"]))
    session = begin_session(
        db, slug=slug, account=row["account"], return_url=row["return_url"], now=now
    )
    return session, row["enrollment"]


def begin_session(
    db: sqlite3.Connection, *, slug: str, account: str, now: float, return_url: str = ""
) -> str:
    """Return the secret of a new session (its cookie), which lasts SESSION_SECONDS."""
    return issue_token(
        db,
        partner=slug,
        kind="session",
        account=account,
        enrollment=None,
        return_url=return_url,
        expires_at=now + SESSION_SECONDS,
    )


def begin_session_by_email(
    db: sqlite3.Connection, *, partner: Partner, email: str, now: float
) -> str | None:
    """Return the secret of a new session, None when nobody has this address."""
    account = find_by_email(db, partner, email)
    if account is None:
        return None
    return begin_session(db, slug=partner.platform.slug, account=account["id"], now=now)


def _load_token(
    db: sqlite3.Connection, *, slug: str, kind: str, token: str, now: float
) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM tokens WHERE digest = ? AND kind = ? AND partner = ?"
        " AND used_at IS NULL AND expires_at > ?",
        (digest_token(token), kind, slug, now),
    ).fetchone()
    return row


def _list_courses(db: sqlite3.Connection, account: str) -> list[sqlite3.Row]:
    return db.execute(
        "SELECT * FROM enrollments WHERE account = ? ORDER BY number DESC LIMIT 100", (account,)
    ).fetchall()


def _load_own(db: sqlite3.Connection, partner: Partner, account: str, id: str) -> sqlite3.Row:
    row = load_enrollment(db, partner, id)
    if row["account"] != account:
        raise Refusal(404, "unknown_enrollment", f"There is no enrollment {id[:40]}.")
    return row


def _look_at_own(
    db: sqlite3.Connection, partner: Partner, account: str, id: str
) -> tuple[sqlite3.Row, sqlite3.Row | None]:
    return _load_own(db, partner, account, id), find_certificate(db, id)
