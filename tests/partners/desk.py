"""An adapter with everything around it, driven without `await`."""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from handrail.core.outbound import OutboundPool
from handrail.partners.protocol import (
    AccountFacts,
    Adapter,
    CertificateFacts,
    EnrollmentFacts,
    PartnerCall,
    PartnerFact,
    Person,
    ProviderConfig,
)
from handrail.partners.registry import get_adapter

T = TypeVar("T")


class Desk:
    """One provider of an adapter; `saved` is what its enroll calls kept."""

    def __init__(
        self,
        adapter: Adapter,
        base_url: str,
        credentials: Mapping[str, str],
        *,
        seconds: float,
        runner: asyncio.Runner,
    ) -> None:
        host = urlsplit(base_url)
        assert host.hostname
        assert host.port
        self.adapter = adapter
        self.saved: dict[str, str] = {}
        self.pool = OutboundPool(
            allowed_private_hosts=[(host.hostname, host.port)], total_seconds=seconds
        )
        self.provider = ProviderConfig(uuid4(), adapter.name, base_url, credentials)
        self._runner = runner

    def call(self, key: str = "") -> PartnerCall:
        http = self.pool.bind(
            provider=str(self.provider.id),
            base_url=self.provider.base_url,
            secrets=self.provider.credentials.values(),
        )
        return PartnerCall(http, self.provider, key or str(uuid4()))

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def find_account(self, person: Person) -> AccountFacts | None:
        return self.do(self.adapter.find_account(self.call(), person))

    def create_account(self, person: Person, *, key: str = "") -> AccountFacts:
        return self.do(self.adapter.create_account(self.call(key), person))

    def find_enrollment(self, account: str, course: str) -> EnrollmentFacts | None:
        look_up = self.adapter.find_enrollment(self.call(), account_id=account, course_code=course)
        return self.do(look_up)

    def enroll(self, account: str, course: str, *, key: str = "") -> EnrollmentFacts:
        async def save(values: Mapping[str, str]) -> None:
            self.saved.update(values)

        enroll = self.adapter.enroll(
            self.call(key),
            account_id=account,
            course_code=course,
            saved=dict(self.saved),
            save=save,
        )
        return self.do(enroll)

    def unenroll(self, enrollment: str) -> None:
        self.do(self.adapter.unenroll(self.call(), external_enrollment_id=enrollment))

    def read_progress(self, enrollment: str) -> list[PartnerFact]:
        return self.do(self.adapter.read_progress(self.call(), external_enrollment_id=enrollment))

    def read_certificate(self, enrollment: str) -> CertificateFacts | None:
        read = self.adapter.read_certificate(self.call(), external_enrollment_id=enrollment)
        return self.do(read)

    def fetch_launch_url(self, account: str, enrollment: str) -> str:
        fetch = self.adapter.fetch_launch_url(
            self.call(),
            account_id=account,
            external_enrollment_id=enrollment,
            return_url="https://handrail.example.org/student/progress",
        )
        return self.do(fetch)


@contextmanager
def open_desk(
    name: str, base_url: str, credentials: Mapping[str, str], *, seconds: float = 10.0
) -> Iterator[Desk]:
    with asyncio.Runner() as runner:
        desk = Desk(get_adapter(name), base_url, credentials, seconds=seconds, runner=runner)
        try:
            yield desk
        finally:
            runner.run(desk.pool.close())
