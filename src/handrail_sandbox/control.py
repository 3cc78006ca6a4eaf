"""/control: what tests, the demo and `make run` ask of the sandbox. Guarded by a bearer token."""

import asyncio
import hmac
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiohttp import web

from handrail_sandbox.by_hand import act
from handrail_sandbox.clock import parse_time
from handrail_sandbox.config import Partner
from handrail_sandbox.delivery import switch_on
from handrail_sandbox.events import is_switched_off
from handrail_sandbox.faults import MISBEHAVIORS, WEBHOOK_FAULTS, is_by_chance
from handrail_sandbox.journal import LISTS, list_items
from handrail_sandbox.reading import may_read, switch_reading
from handrail_sandbox.runtime import Runtime
from handrail_sandbox.store import get_setting, set_setting
from handrail_sandbox.world import Refusal, World

Handler = Callable[[web.Request], Awaitable[dict[str, Any]]]
POLL_SECONDS = 0.05
LONGEST_IDLE_WAIT = 600.0


class Control:
    """The calls below /control/."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.world = runtime.world
        self.store = runtime.store

    def add_routes(self, router: web.UrlDispatcher) -> None:
        for name in LISTS:
            router.add_get(f"/control/{name}", self._guard(partial(self.show_list, name=name)))
        for method, path, handler in (
            ("GET", "status", self.show_status),
            ("GET", "idle", self.wait_idle),
            ("POST", "enrollments/{partner}/{id}/{action}", self.change_enrollment),
            ("POST", "pause", partial(self.pause, value="yes")),
            ("POST", "resume", partial(self.pause, value="no")),
            ("POST", "faults", self.order_faults),
            ("DELETE", "faults", self.drop_faults),
            ("POST", "{partner}/webhooks/on", self.switch_webhooks_on),
            ("POST", "{partner}/reading/{value:on|off}", self.switch_reading),
        ):
            router.add_route(method, f"/control/{path}", self._guard(handler))

    def _guard(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        token = f"Bearer {self.world.config.control_token}".encode()

        async def guarded(request: web.Request) -> web.Response:
            given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, token):
                refusal = Refusal(401, "unauthorized", "Send the control token as a bearer token.")
                return web.json_response(refusal.body, status=401)
            try:
                return web.json_response(await handler(request))
            except Refusal as refusal:
                return web.json_response(refusal.body, status=refusal.status)

        return guarded

    async def show_list(self, request: web.Request, *, name: str) -> dict[str, Any]:
        query = {key: str(value) for key, value in request.query.items()}
        return await self.store.run(partial(list_items, name=name, query=query))

    async def show_status(self, request: web.Request) -> dict[str, Any]:
        counts = await self.store.run(partial(_count, world=self.world))
        return {**counts, "working": sum(self.runtime.working.values())}

    async def wait_idle(self, request: web.Request) -> dict[str, Any]:
        """Wait until nothing goes on by itself, or so many seconds."""
        seconds = _to_number(request.query.get("seconds", "30"), "seconds", LONGEST_IDLE_WAIT)
        deadline = time.monotonic() + seconds
        while True:
            status = await self.show_status(request)
            busy = status["studying"] + status["webhooks_waiting"] + status["working"]
            if not busy or time.monotonic() >= deadline:
                return {"idle": not busy, **status}
            await asyncio.sleep(POLL_SECONDS)

    async def change_enrollment(self, request: web.Request) -> dict[str, Any]:
        body = await _read_object(request)
        partner = self._get_partner(request)
        percent = body.get("percent")
        row = await self.store.run(
            partial(
                act,
                world=self.world,
                partner=partner,
                id=request.match_info["id"],
                action=request.match_info["action"],
                path=request.path,
                now=time.time(),
                at=_to_time(body.get("at")),
                percent=None if percent is None else _to_number(percent, "percent", 100),
                reason=str(body.get("reason") or ""),
            )
        )
        return {"id": row["id"], "status": row["status"], "percent": row["percent"]}

    async def pause(self, request: web.Request, *, value: str) -> dict[str, Any]:
        body = await _read_object(request)
        chosen = [name for name in ("study", "webhooks") if body.get(name, not body)]
        for name in chosen:
            await self.store.run(partial(set_setting, name=f"paused_{name}", value=value))
        return await self.show_status(request)

    async def order_faults(self, request: web.Request) -> dict[str, Any]:
        body = await _read_object(request)
        await self.store.run(partial(_order_faults, world=self.world, body=body))
        return await self.show_status(request)

    async def drop_faults(self, request: web.Request) -> dict[str, Any]:
        await self.store.run(lambda db: db.execute("DELETE FROM ordered_faults").rowcount)
        return await self.show_status(request)

    async def switch_webhooks_on(self, request: web.Request) -> dict[str, Any]:
        slug = self._get_partner(request).platform.slug
        return {"sent_again": await self.store.run(partial(switch_on, slug=slug, now=time.time()))}

    async def switch_reading(self, request: web.Request) -> dict[str, Any]:
        slug, value = self._get_partner(request).platform.slug, request.match_info["value"]
        await self.store.run(partial(switch_reading, slug=slug, value=value))
        return await self.show_status(request)

    def _get_partner(self, request: web.Request) -> Partner:
        slug = request.match_info["partner"]
        if slug not in self.world.config.partners:
            raise Refusal(404, "not_found", f"There is no partner {slug[:40]} here.")
        return self.world.config.partners[slug]


def _count(db: sqlite3.Connection, world: World) -> dict[str, Any]:
    slugs = tuple(world.config.partners)
    senders = tuple(slug for slug, it in world.config.partners.items() if it.endpoint)
    return {
        "studying": _count_rows(db, "enrollments", "study_next_at IS NOT NULL", slugs),
        "webhooks_waiting": _count_rows(db, "webhooks", "state = 'waiting'", senders)
        + _count_rows(db, "webhooks", "state = 'sending'", senders),
        "paused": {
            name: get_setting(db, f"paused_{name}") == "yes" for name in ("study", "webhooks")
        },
        "webhooks_off": [slug for slug in senders if is_switched_off(db, slug)],
        "reading_off": [slug for slug in slugs if not may_read(db, slug)],
        "faults_by_chance": is_by_chance(db, world),
        "ordered_faults": _count_rows(db, "ordered_faults", "remaining > 0", None),
    }


def _count_rows(
    db: sqlite3.Connection, table: str, condition: str, slugs: tuple[str, ...] | None
) -> int:
    """Count rows of a table of ours; the condition names an index."""
    if slugs is not None:
        condition += f" AND +partner IN ({','.join('?' * len(slugs))})"
    query = f"SELECT count(*) FROM {table} WHERE {condition}"  # noqa: S608 -- our own words only
    return int(db.execute(query, slugs or ()).fetchone()[0])


def _order_faults(db: sqlite3.Connection, world: World, body: dict[str, Any]) -> None:
    by_chance, kind = body.get("by_chance"), body.get("kind")
    if isinstance(by_chance, bool):
        set_setting(db, "faults_by_chance", "on" if by_chance else "off")
    elif by_chance is not None or kind is None:
        raise Refusal(422, "invalid_field", "Write a kind of fault, or by_chance true or false.")
    if kind is None:
        return
    if kind not in (kinds := (*MISBEHAVIORS, *WEBHOOK_FAULTS)):
        raise Refusal(422, "invalid_field", f"The kinds are {', '.join(kinds)}.", "kind")
    partner, subject, times = body.get("partner", ""), body.get("on", ""), body.get("times", 1)
    if partner not in ("", *world.config.partners):
        raise Refusal(422, "invalid_field", "There is no such partner here.", "partner")
    if not isinstance(subject, str) or not isinstance(times, int) or times < 1:
        raise Refusal(422, "invalid_field", "on is a text, times a number from 1.", "times")
    db.execute(
        "INSERT INTO ordered_faults (partner, subject, kind, remaining) VALUES (?, ?, ?, ?)",
        (partner, subject, kind, times),
    )


async def _read_object(request: web.Request) -> dict[str, Any]:
    """Return the JSON object of the body, {} when there is none; Refusal 400."""
    raw = await request.read()
    try:
        body = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Refusal(400, "malformed_json", "The body must be a JSON object.")
    return body


def _to_number(value: object, name: str, most: float) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise Refusal(422, "invalid_field", f"{name} is a number from 0 to {most:g}.", name)
    return number


def _to_time(value: object) -> float | None:
    if value is None:
        return None
    try:
        return parse_time(str(value))
    except ValueError as error:
        raise Refusal(422, "invalid_field", f"at: {error}.", "at") from error
