"""What an adapter is: the one narrow protocol between us and a partner's platform.

An adapter translates, it decides nothing: whether a fact counts is the step machine's matter.
Every call may raise `RetryLater`, `OutcomeUnknown` or `NeedsPerson` (see `core.outcomes`).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Protocol
from uuid import UUID

from handrail.core.outbound import (
    Answer,
    NeedsPerson,
    OutboundClient,
    OutcomeUnknown,
    RetryLater,
)

__all__ = [
    "AccountFacts",
    "Adapter",
    "Answer",
    "CertificateFacts",
    "EnrollmentFacts",
    "FactKind",
    "Ignored",
    "NeedsPerson",
    "Offers",
    "OutcomeUnknown",
    "PartnerCall",
    "PartnerFact",
    "Person",
    "ProviderConfig",
    "RetryLater",
    "Save",
    "Unintelligible",
]

FactKind = Literal[
    "enrollment.created",
    "progress.updated",
    "course.completed",
    "course.failed",
    "certificate.issued",
    "enrollment.ended",
    "completion.revoked",
]
Save = Callable[[Mapping[str, str]], Awaitable[None]]


class Ignored(Exception):
    """A message that says nothing we use; it is kept, with this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unintelligible(Exception):
    """A message with fields missing or contradicting each other; a person must look at it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a partner gets to know: what the organization entered."""

    first_name: str
    last_name: str  # "" where a person has one name
    email: str
    phone: str = ""
    birth_date: date | None = None


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """A person's account at the partner. Passwords never come this far."""

    external_id: str
    username: str = ""
    login_url: str = ""


@dataclass(frozen=True, slots=True)
class EnrollmentFacts:
    """A person's run of a course at the partner."""

    external_id: str
    access_url: str = ""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """A certificate that the partner issued."""

    external_id: str
    number: str = ""
    issued_on: date | None = None
    expires_on: date | None = None
    download_url: str = ""
    verification_url: str = ""


class PartnerFact(NamedTuple):
    """One thing a partner says, found by its enrollment id, else our run id, else account and course."""

    kind: FactKind
    external_enrollment_id: str = ""
    run_id: UUID | None = None  # our own id, where the partner echoes it
    account_external_id: str = ""
    course_code: str = ""
    occurred_at: datetime | None = None  # the partner's time, UTC
    percent: Decimal | None = None  # 0 to 100, two decimals
    reason: str = ""  # for a person, not sensitive
    sensitive_result: str = ""  # kept apart from progress (screenings)
    certificate: CertificateFacts | None = None


@dataclass(frozen=True, slots=True)
class Offers:
    """What a platform can do. `idempotency_hours`: how long it honors our key; 0: not at all."""

    find_account: bool
    find_enrollment: bool
    idempotency_hours: int = 0
    progress: bool = True
    certificate: bool = True
    launch: bool = True
    unenroll: bool = False


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """One provider of an organization, with its credentials in clear: keep it out of logs."""

    id: UUID
    slug: str
    base_url: str
    credentials: Mapping[str, str] = field(repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PartnerCall:
    """What a call needs: the provider's client, its configuration, the intent's stable key."""

    http: OutboundClient
    provider: ProviderConfig
    idempotency_key: str


class Adapter(Protocol):
    """A platform. One instance per process, without state: all that varies comes with the call."""

    @property
    def name(self) -> str:
        """Its folder's name."""

    @property
    def offers(self) -> Offers:
        """What the platform can do; the rest is not called."""

    @property
    def credential_names(self) -> tuple[str, ...]:
        """The credentials that its calls need, as `handrail provider configure` takes them."""

    async def find_account(self, call: PartnerCall, person: Person) -> AccountFacts | None:
        """The account with this person's e-mail; None only when the partner says there is none."""

    async def create_account(self, call: PartnerCall, person: Person) -> AccountFacts:
        """Make an account; the existing one where the partner answers that there is one."""

    async def find_enrollment(
        self, call: PartnerCall, *, account_id: str, course_code: str
    ) -> EnrollmentFacts | None:
        """The newest enrollment, closed or not; None only when the partner says there is none.

        An id that belongs to an older run of ours means that the newer call did not happen.
        """

    async def enroll(
        self,
        call: PartnerCall,
        *,
        account_id: str,
        course_code: str,
        saved: Mapping[str, str],
        save: Save,
    ) -> EnrollmentFacts:
        """Enroll; on a conflict return the enrollment the partner names.

        `saved` is what `save` stored at an earlier attempt of the same intent. An adapter that
        pays or makes something on the way saves it at once, and goes on from there next time.
        """

    async def unenroll(self, call: PartnerCall, *, external_enrollment_id: str) -> None:
        """End the enrollment; one that is gone already is fine."""

    async def read_progress(
        self, call: PartnerCall, *, external_enrollment_id: str
    ) -> list[PartnerFact]:
        """The present state as facts; empty when there is none yet."""

    async def read_certificate(
        self, call: PartnerCall, *, external_enrollment_id: str
    ) -> CertificateFacts | None:
        """The certificate; None when none is issued yet."""

    async def fetch_launch_url(
        self, call: PartnerCall, *, account_id: str, external_enrollment_id: str, return_url: str
    ) -> str:
        """A URL that opens the course signed in; it expires within minutes and is a credential."""

    def translate(self, message: Mapping[str, object]) -> list[PartnerFact]:
        """The facts in a parsed webhook.

        Raises:
            Ignored: an event that says nothing we use.
            Unintelligible: fields missing, out of range or contradicting each other.
        """
