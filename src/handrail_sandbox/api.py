"""The platforms' API over HTTP: proof, fault, work and ledger in one transaction, answer."""

import asyncio
import hashlib
import hmac
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiohttp import web

from handrail_sandbox.config import Partner
from handrail_sandbox.enrolling import (
    buy_voucher,
    enroll,
    find_enrollments,
    find_vouchers,
    unenroll,
)
from handrail_sandbox.faults import MISBEHAVIORS, choose_request_fault
from handrail_sandbox.ledger import note_request
from handrail_sandbox.people import create_account, find_account
from handrail_sandbox.reading import launch, read_certificate, read_progress
from handrail_sandbox.runtime import Runtime
from handrail_sandbox.validation import is_clean
from handrail_sandbox.world import Answer, Asked, Refusal, World

Work = Callable[[sqlite3.Connection, World, Asked], Answer]
KEY_HOURS = 24
UNAUTHORIZED = "The key or the organization is not valid."
WORKS: dict[str, Work] = {
    "create_account": create_account,
    "find_account": find_account,
    "enroll": enroll,
    "find_enrollment": find_enrollments,
    "buy_voucher": buy_voucher,
    "find_voucher": find_vouchers,
    "read_progress": read_progress,
    "read_certificate": read_certificate,
    "launch": launch,
    "unenroll": unenroll,
}


def list_routes(partner: Partner) -> list[tuple[str, str, str]]:
    """Return method, path below the slug, and operation of what this platform offers."""
    p = partner.platform
    one = p.enrollment_path + "/{id}"
    routes = [
        ("POST", p.account_path, "create_account"),
        ("POST", p.enrollment_path, "enroll"),
        ("GET", one + p.progress.path, "read_progress"),
        ("GET", one + "/certificate", "read_certificate"),
        ("POST", p.launch_path, "launch"),
    ]
    if p.finds:
        routes.append(("GET", p.account_path, "find_account"))
        routes.append(("GET", p.enrollment_path, "find_enrollment"))
    if p.sells_vouchers:
        routes.append(("POST", "/api/v2/vouchers", "buy_voucher"))
        routes.append(("GET", "/api/v2/vouchers", "find_voucher"))
    if p.unenrolls:
        routes.append(("DELETE", one, "unenroll"))
    return routes


class PartnerApi:
    """Answers the requests to one platform."""

    def __init__(self, runtime: Runtime, partner: Partner) -> None:
        self.runtime = runtime
        self.world = runtime.world
        self.store = runtime.store
        self.partner = partner

    def add_routes(self, router: web.UrlDispatcher) -> None:
        for method, path, operation in list_routes(self.partner):
            handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
            handler = partial(self.handle, operation=operation)
            router.add_route(method, f"/{self.partner.platform.slug}{path}", handler)

    async def handle(self, request: web.Request, *, operation: str) -> web.StreamResponse:
        slug = self.partner.platform.slug
        self.runtime.working[slug] += 1
        try:
            asked = self._read(request, operation, await request.read())
            if not self._is_authentic(request):
                refuse = Refusal(401, "unauthorized", UNAUTHORIZED)
                answer = await self.store.run(partial(_refuse_and_note, asked=asked, why=refuse))
                return respond(answer)
            return await self._work(request, asked)
        finally:
            self.runtime.working[slug] -= 1

    async def _work(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        choose = partial(
            choose_request_fault,
            world=self.world,
            partner=self.partner,
            operation=asked.operation,
            identity=_identify(asked),
        )
        fault = await self.store.run(choose)
        if fault == "hang_late":
            await self._hang()
        answer, is_replayed = await self.store.run(
            partial(perform, world=self.world, asked=asked, fault=fault)
        )
        if not fault:
            return respond(answer, is_replayed=is_replayed)
        if MISBEHAVIORS[fault].hangs and fault != "hang_late":
            await self._hang()
        return self._misbehave(request, fault)

    async def _hang(self) -> None:
        try:
            async with asyncio.timeout(self.world.config.faults.hang_seconds):
                await self.runtime.stopping.wait()
        except TimeoutError:
            return

    def _misbehave(self, request: web.Request, fault: str) -> web.StreamResponse:
        kind = MISBEHAVIORS[fault]
        if kind.status == 0:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()  # nobody reads it: the connection is gone
        words = {
            401: ("unauthorized", UNAUTHORIZED),
            429: ("rate_limited", "Too many requests."),
            500: ("internal_error", "Something went wrong on our side."),
            503: ("unavailable", "We are being serviced."),
        }
        code, message = words[kind.status]
        headers = {}
        if kind.retry_after:
            headers["Retry-After"] = str(self.world.config.faults.retry_after_seconds)
        body = {"error": code, "message": message}
        return web.json_response(body, status=kind.status, headers=headers)

    def _is_authentic(self, request: web.Request) -> bool:
        given = [
            hmac.compare_digest(
                request.headers.get(name, "").encode("utf-8", "surrogateescape"), value.encode()
            )
            for name, value in self.partner.credentials.items()
        ]
        return all(given)

    def _read(self, request: web.Request, operation: str, raw: bytes) -> Asked:
        prefix = f"/{self.partner.platform.slug}"
        return Asked(
            partner=self.partner,
            operation=operation,
            method=request.method,
            path=_clean(request.raw_path.removeprefix(prefix)),
            at=time.time(),
            query={name: str(value) for name, value in request.query.items()},
            body=_parse_object(raw) if request.method == "POST" else {},
            target=_clean(request.match_info.get("id", "")),
            key=_clean(request.headers.get("Idempotency-Key", "")),
        )


def perform(
    db: sqlite3.Connection, world: World, asked: Asked, *, fault: str
) -> tuple[Answer, bool]:
    """Do the work unless the fault forbids it, and note it; return the answer, and is it old."""
    is_replayed = False
    if fault and not MISBEHAVIORS[fault].works:
        answer = Answer(MISBEHAVIORS[fault].status, None, "not_done")
    else:
        try:
            answer, is_replayed = _do_once(db, world, asked)
        except Refusal as why:
            answer = Answer(why.status, why.body, "refused")
    answered = str((MISBEHAVIORS[fault].status or "") if fault else answer.status)
    note_request(db, asked, answer, answered=answered, fault=fault)
    return answer, is_replayed


def _do_once(db: sqlite3.Connection, world: World, asked: Asked) -> tuple[Answer, bool]:
    work = WORKS[asked.operation]
    if not asked.key or asked.method != "POST" or not asked.partner.platform.honors_keys:
        return work(db, world, asked), False
    if len(asked.key) > 255 or not is_clean(asked.key):
        raise Refusal(400, "malformed_key", "Idempotency-Key has 255 characters at most.")
    slug = asked.partner.platform.slug
    db.execute("DELETE FROM idempotency WHERE created_at <= ?", (asked.at - KEY_HOURS * 3600,))
    row = db.execute(
        "SELECT * FROM idempotency WHERE partner = ? AND key = ?", (slug, asked.key)
    ).fetchone()
    digest = _digest_work(asked)
    if row is None:
        answer = work(db, world, asked)
        db.execute(
            "INSERT INTO idempotency VALUES (?, ?, ?, ?, ?, ?)",
            (slug, asked.key, digest, answer.status, json.dumps(answer.body), asked.at),
        )
        return answer, False
    if row["digest"] != digest:
        message = "This Idempotency-Key was used for another request."
        raise Refusal(422, "key_reused", message)
    body = json.loads(row["body"])
    account = body.get(asked.partner.platform.account_field, "")
    enrollment = body.get("enrollmentId", "")
    answer = Answer(row["status"], body, "replayed", account=account, enrollment=enrollment)
    return answer, True


def respond(answer: Answer, *, is_replayed: bool = False) -> web.Response:
    if answer.body is None:
        return web.Response(status=answer.status)
    headers = {"Idempotent-Replayed": "true"} if is_replayed else {}
    return web.json_response(answer.body, status=answer.status, headers=headers)


def _refuse_and_note(db: sqlite3.Connection, asked: Asked, why: Refusal) -> Answer:
    answer = Answer(why.status, why.body, "refused")
    note_request(db, asked, answer, answered=str(why.status), fault="")
    return answer


def _identify(asked: Asked) -> str:
    """Name the request for chance: a repeat of it is the same one."""
    return f"{asked.partner.platform.slug} {asked.key or _digest_work(asked)}"


def _digest_work(asked: Asked) -> str:
    canonical = json.dumps([asked.method, asked.path, asked.body], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _parse_object(raw: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()[:500]
