"""An organization with providers, programs and learners, in a committed database."""

import asyncio
import hashlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import uvloop

from handrail.core.worker import run_worker
from handrail.inbox.applier import Applier
from handrail.partners.actions import configure_provider
from tests.databases import Database

_numbers = itertools.count(1)
CREDENTIALS = {"api_key": "key-1", "organization_id": "ORG-1"}


class World:
    """Sets up and looks at one organization, as the service role."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.connection = database.connect("worker")
        self.organization: UUID = self.value(
            "insert into organizations (slug, name) values ('north', 'North Academy') returning id"
        )

    def close(self) -> None:
        self.connection.close()

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def value(self, query: str, *parameters: Any) -> Any:
        ((value,),) = self.rows(query, *parameters)
        return value

    def add_provider(
        self,
        adapter: str,
        *,
        base_url: str = "",
        mode: str = "api",
        slug: str = "",
        credentials: Mapping[str, str] = CREDENTIALS,
    ) -> UUID:
        provider: UUID = self.value(
            "insert into partner_lms_providers (organization_id, slug, name, adapter, mode) "
            "values (%s, %s, %s, %s, %s) returning id",
            self.organization,
            slug or adapter,
            adapter.title(),
            adapter,
            mode,
        )
        configure_provider(provider, base_url=base_url, credentials=credentials)
        return provider

    def add_course(self, provider: UUID, code: str, *, credential_name: str = "") -> UUID:
        course: UUID = self.value(
            "insert into partner_lms_courses (organization_id, provider_id, code, title, credential_name) "
            "values (%s, %s, %s, %s, %s) returning id",
            self.organization,
            provider,
            code,
            f"The {code}",
            credential_name,
        )
        return course

    def add_program(self, *stages: Sequence[UUID]) -> UUID:
        """A published program; the courses of a stage are taken side by side."""
        slug = f"program-{next(_numbers)}"
        program: UUID = self.value(
            "insert into programs (organization_id, slug, title) values (%s, %s, 'Program') returning id",
            self.organization,
            slug,
        )
        version = self.value(
            "insert into program_versions (organization_id, program_id, number) "
            "values (%s, %s, 1) returning id",
            self.organization,
            program,
        )
        for number, courses in enumerate(stages, start=1):
            self.rows(
                "insert into program_partner_lms (organization_id, program_version_id, provider_id, course_id, "
                "sequence_order) select %s, %s, provider_id, id, %s from partner_lms_courses where id = any (%s)",
                self.organization,
                version,
                number,
                list(courses),
            )
        self.rows("select publish_program_version(%s)", version)
        return program

    def add_learner(self, name: str = "Alice") -> UUID:
        email = f"{name.lower()}.{next(_numbers)}@example.org"
        learner: UUID = self.value(
            "insert into learners (organization_id, first_name, last_name, email, email_normalized) "
            "values (%s, %s, 'Example', %s, %s) returning id",
            self.organization,
            name,
            email,
            email,
        )
        return learner

    def enroll(
        self, program: UUID, learner: UUID | None = None, *, start: str = "2026-01-05"
    ) -> UUID:
        """An approved enrollment: active, its first stage started when the date has come."""
        enrollment: UUID = self.value(
            "select create_enrollment(%s, %s, 'self_pay', %s)",
            learner or self.add_learner(),
            program,
            start,
        )
        self.rows("select meet_requirement(%s, 'approved', 'import')", enrollment)
        return enrollment

    def get_step(self, enrollment: UUID, number: int = 1) -> UUID:
        step: UUID = self.value(
            "select id from enrollment_steps where enrollment_id = %s and sequence_order = %s",
            enrollment,
            number,
        )
        return step

    def get_run(self, enrollment: UUID, number: int = 1) -> dict[str, Any]:
        """The partner enrollment of a step; empty when it has none."""
        found: list[tuple[dict[str, Any]]] = self.rows(
            "select to_jsonb(r) from enrollment_steps s join partner_lms_enrollments r "
            "on r.id = s.partner_enrollment_id where s.enrollment_id = %s and s.sequence_order = %s",
            enrollment,
            number,
        )
        return found[0][0] if found else {}

    def list_intents(self, enrollment: UUID | None = None) -> list[dict[str, Any]]:
        """All calls in the order in which they were recorded; of one enrollment's learner."""
        return [
            row[0]
            for row in self.rows(
                "select to_jsonb(i) from intents i join partner_accounts a on a.id = i.partner_account_id "
                "where %s::uuid is null or a.learner_id = (select learner_id from enrollments where id = %s) "
                "order by i.id",
                enrollment,
                enrollment,
            )
        ]

    def list_attention(self) -> list[tuple[str, str]]:
        """Kind and words of what is open on the attention list."""
        return [
            (kind, cause)
            for kind, cause in self.rows(
                "select kind, cause from attention_items where resolved_at is null order by opened_at, id"
            )
        ]

    def report(self, provider: UUID, event: str, *, id: str = "", **data: Any) -> UUID:
        """Store a webhook of a partner, as the ingress does, without applying it."""
        endpoint = self.rows("select id from webhook_endpoints where provider_id = %s", provider)
        if not endpoint:
            endpoint = self.rows(
                "insert into webhook_endpoints (key, kind, scheme, organization_id, provider_id) "
                "values (%s, 'partner', 'shared-secret', %s, %s) returning id",
                f"endpoint-{next(_numbers)}",
                self.organization,
                provider,
            )
        message = {"event": event, "timestamp": "2026-05-28T20:26:40Z", "data": data}
        body = json.dumps(message).encode()
        with self.database.connect("superuser") as superuser:
            row = superuser.execute(
                "insert into webhook_events (endpoint_id, organization_id, provider_id, event_id, digest, body) "
                "values (%s, %s, %s, %s, %s, %s) returning id",
                (
                    endpoint[0][0],
                    self.organization,
                    provider,
                    id or f"event-{next(_numbers)}",
                    hashlib.sha256(body).digest(),
                    body,
                ),
            ).fetchone()
        assert row is not None
        stored: UUID = row[0]
        return stored

    def apply(self) -> None:
        """Apply what is stored, as the applier does, until nothing is due."""
        with self.database.connect("worker") as connection:
            applier = Applier(waiting=timedelta(hours=24))
            applier.use(connection)
            while applier.apply_due():
                pass

    def get_event(self, event: UUID) -> tuple[str, str]:
        """Status and reason of a stored webhook."""
        ((status, reason),) = self.rows(
            "select status, reason from webhook_events where id = %s", event
        )
        return status, reason


def wait_until(condition: Callable[[], object], *, seconds: float = 15.0) -> None:
    """Look again and again until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.01)


@contextmanager
def run_worker_here(*services: str) -> Iterator[None]:
    """Run services of the worker in a thread of this process."""
    loop: list[asyncio.AbstractEventLoop] = []
    stop: list[asyncio.Event] = []
    started = threading.Event()

    async def work() -> None:
        loop.append(asyncio.get_running_loop())
        stop.append(asyncio.Event())
        started.set()
        await run_worker(stop[0], only=frozenset(services))

    thread = threading.Thread(target=lambda: uvloop.run(work()), name="worker")
    thread.start()
    started.wait()
    try:
        yield
    finally:
        loop[0].call_soon_threadsafe(stop[0].set)
        thread.join(20)
        assert not thread.is_alive(), "the worker did not stop"
