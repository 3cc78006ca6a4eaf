"""What every piece of work is given: the configuration and the address of the sandbox."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from handrail_sandbox.config import Config, Partner


@dataclass(frozen=True, slots=True)
class World:
    """The configuration and the address that links begin with."""

    config: Config
    base_url: str  # of the links that are handed out, without a slash at the end

    def link(self, partner: Partner, path: str) -> str:
        return f"{self.base_url}/{partner.platform.slug}{path}"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to a platform's API, its proof already checked."""

    partner: Partner
    operation: str
    method: str
    path: str  # below the partner's slug, with its query
    at: float
    query: Mapping[str, str]
    body: Mapping[str, Any] | None  # None: not a JSON object
    target: str = ""  # the enrollment in the path
    key: str = ""  # Idempotency-Key

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields of the body; Refusal 400 when it is no JSON object."""
        if self.body is None:
            raise Refusal(400, "malformed_json", "The body must be a JSON object in UTF-8.")
        return self.body


@dataclass(frozen=True, slots=True)
class Answer:
    """What the work came to, and what the ledger notes of it."""

    status: int
    body: Mapping[str, Any] | None
    outcome: str
    account: str = ""
    course: str = ""
    enrollment: str = ""
    voucher: str = ""


class Refusal(Exception):
    """The request is refused and has changed nothing; becomes the error answer."""

    def __init__(self, status: int, code: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": code, "message": message}
        if field:
            self.body["field"] = field
