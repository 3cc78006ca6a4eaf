"""The practice partners as providers of a test's organization."""

from typing import Any
from uuid import UUID

from tests.provisioning.world import World
from tests.sandbox.partners import CONTRACTS
from tests.sandbox.process import Sandbox


class Campus:
    """Joins one organization with one sandbox, which other tests have asked things before."""

    def __init__(self, world: World, sandbox: Sandbox) -> None:
        self.world = world
        self.sandbox = sandbox
        self._before = {
            name: max((each["number"] for each in sandbox.list_all(name)), default=0)
            for name in ("ledger", "enrollments")
        }

    def add_provider(self, slug: str) -> UUID:
        return self.world.add_provider(
            slug,
            base_url=f"http://127.0.0.1:{self.sandbox.port}/{slug}",
            credentials=self.credentials_of(slug),
        )

    @staticmethod
    def credentials_of(slug: str) -> dict[str, str]:
        """Those that the partner takes."""
        key, organization = CONTRACTS[slug].credentials.values()
        return {"api_key": key.removeprefix("Bearer "), "organization_id": organization}

    def add_course(self, slug: str, *, code: str = "", credential_name: str = "C") -> UUID:
        """A provider and the course that the sandbox has there."""
        code = code or CONTRACTS[slug].course
        return self.world.add_course(self.add_provider(slug), code, credential_name=credential_name)

    def order_fault(self, slug: str, on: str, kind: str, *, times: int = 1) -> None:
        """Let the next such requests fail."""
        order = {"partner": slug, "on": on, "kind": kind, "times": times}
        self.sandbox.control("POST", "faults", order)

    def read_ledger(self, slug: str) -> list[dict[str, Any]]:
        """What the partner was asked."""
        return self._list("ledger", slug)

    def list_ledger(self, slug: str) -> list[tuple[str, str, str]]:
        """What the partner was asked: operation, outcome, and the status the client got."""
        return [
            (each["operation"], each["outcome"], each["answered"])
            for each in self.read_ledger(slug)
        ]

    def list_enrollments(self, slug: str) -> list[dict[str, Any]]:
        return self._list("enrollments", slug)

    def _list(self, name: str, slug: str) -> list[dict[str, Any]]:
        before = self._before[name]
        return [
            each for each in self.sandbox.list_all(name, partner=slug) if each["number"] > before
        ]
