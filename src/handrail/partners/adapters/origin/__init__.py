"""The contract that the origin system's seven partners share; no adapter by itself."""

from collections.abc import Callable, Container, Mapping
from functools import partial
from typing import TypeVar
from urllib.parse import quote

from handrail.partners.adapters.origin.events import translate_event
from handrail.partners.adapters.origin.facts import (
    read_account,
    read_certificate,
    read_enrollment,
    read_state,
)
from handrail.partners.adapters.origin.sheet import Sheet
from handrail.partners.protocol import (
    AccountFacts,
    Answer,
    CertificateFacts,
    EnrollmentFacts,
    NeedsPerson,
    OutcomeUnknown,
    PartnerCall,
    PartnerFact,
    Person,
    ProviderConfig,
    Save,
    Unintelligible,
)
from handrail.partners.reading import (
    as_object,
    get_credential,
    read_objects,
    read_url,
    understand,
)

_NOT_FOUND = 404
_CONFLICT = 409
T = TypeVar("T")


class OriginAdapter:
    """An adapter made of a sheet (see `protocol.Adapter`); subclasses hold the quirks."""

    credential_names: tuple[str, ...] = ("api_key", "organization_id")

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self.name = sheet.name
        self.offers = sheet.offers

    async def find_account(self, call: PartnerCall, person: Person) -> AccountFacts | None:
        found = await self.look_up(call, self.sheet.account_path, {"email": person.email})
        mail = person.email.casefold()
        # A partner that searches for parts of an address finds others as well.
        exact = [each for each in found if str(each.get("email", mail)).casefold() == mail]
        if len(exact) > 1:
            raise NeedsPerson("conflict", "the partner has several accounts with this address")
        return understand(read_account, self.sheet, exact[0]) if exact else None

    async def create_account(self, call: PartnerCall, person: Person) -> AccountFacts:
        body = self.describe_person(person, call.provider)
        read = partial(read_account, self.sheet)
        return await self.create(call, self.sheet.account_path, body, read, key="account")

    async def find_enrollment(
        self, call: PartnerCall, *, account_id: str, course_code: str
    ) -> EnrollmentFacts | None:
        query = {self.sheet.account_id: account_id, self.sheet.course_code: course_code}
        newest_first = await self.look_up(call, self.sheet.enrollment_path, query)
        return understand(read_enrollment, self.sheet, newest_first[0]) if newest_first else None

    async def enroll(
        self,
        call: PartnerCall,
        *,
        account_id: str,
        course_code: str,
        saved: Mapping[str, str],
        save: Save,
    ) -> EnrollmentFacts:
        body = self.describe_enrollment(account_id, course_code, call.provider)
        return await self.post_enrollment(call, body)

    async def unenroll(self, call: PartnerCall, *, external_enrollment_id: str) -> None:
        if not self.offers.unenroll:
            raise NeedsPerson("not_offered", "this partner takes no cancellation from us")
        path = self._path_of(external_enrollment_id)
        answer = await self.ask(call, "DELETE", path, accept=(_NOT_FOUND,))
        # Only the partner's own word is believed: a wrong address answers 404 as well.
        if answer.status == _NOT_FOUND and not _is_gone(answer.data):
            raise NeedsPerson("not_found", answer.words)

    async def read_progress(
        self, call: PartnerCall, *, external_enrollment_id: str
    ) -> list[PartnerFact]:
        path = self._path_of(external_enrollment_id, self.sheet.progress_path)
        answer = await self.ask(call, "GET", path, accept=(_NOT_FOUND,))
        if answer.status == _NOT_FOUND:
            return []
        return understand(self.read_state, answer.data, external_enrollment_id)

    async def read_certificate(
        self, call: PartnerCall, *, external_enrollment_id: str
    ) -> CertificateFacts | None:
        path = self._path_of(external_enrollment_id, "/certificate")
        answer = await self.ask(call, "GET", path, accept=(_NOT_FOUND,))
        if answer.status == _NOT_FOUND:
            return None
        return understand(read_certificate, self.sheet.certificate, answer.data)

    async def fetch_launch_url(
        self, call: PartnerCall, *, account_id: str, external_enrollment_id: str, return_url: str
    ) -> str:
        body = {
            self.sheet.account_id: account_id,
            "enrollmentId": external_enrollment_id,
            "returnUrl": return_url,
        }
        answer = await self.ask(call, "POST", self.sheet.launch_path, body=body, harmless=True)
        url = read_url(understand(as_object, answer.data), self.sheet.launch_url)
        if not url:
            raise NeedsPerson("not_understood", f"{self.sheet.launch_url} is missing or no address")
        return url

    def translate(self, message: Mapping[str, object]) -> list[PartnerFact]:
        return [translate_event(self.sheet, message)]

    # What the quirks of a partner change.

    def describe_person(self, person: Person, provider: ProviderConfig) -> dict[str, str]:
        """The body that makes an account."""
        return {
            "firstName": person.first_name,
            "lastName": person.last_name,
            "email": person.email,
            self.sheet.organization_field: get_credential(provider, "organization_id"),
        }

    def describe_enrollment(
        self, account_id: str, course_code: str, provider: ProviderConfig
    ) -> dict[str, str]:
        """The body that makes an enrollment."""
        body = {self.sheet.account_id: account_id, self.sheet.course_code: course_code}
        if self.sheet.enrollment_names_organization:
            body[self.sheet.organization_field] = get_credential(provider, "organization_id")
        return body

    def read_state(self, data: object, enrollment_id: str) -> list[PartnerFact]:
        """The facts in the answer to a progress read."""
        return read_state(self.sheet, data, enrollment_id)

    # How calls are made.

    async def ask(
        self,
        call: PartnerCall,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, str] | None = None,
        key: str = "",
        accept: Container[int] = (),
        harmless: bool | None = None,
    ) -> Answer:
        """One call with the partner's proof headers, and our key where the partner honors it."""
        secret = get_credential(call.provider, "api_key")
        headers = {
            self.sheet.key_header: f"Bearer {secret}"
            if self.sheet.key_header == "Authorization"
            else secret,
            self.sheet.organization_header: get_credential(call.provider, "organization_id"),
        }
        if key and self.offers.idempotency_hours:
            # One intent makes several calls, each with a key of its own.
            headers["Idempotency-Key"] = f"{call.idempotency_key}:{key}"
        return await call.http.request_json(
            method, path, headers=headers, query=query, body=body, accept=accept, harmless=harmless
        )

    async def look_up(
        self, call: PartnerCall, path: str, query: Mapping[str, str]
    ) -> list[Mapping[str, object]]:
        """What a look-up found; an empty list is the partner's word that there is nothing.

        Anything else raises: a look-up that failed does not mean "does not exist".
        """
        answer = await self.ask(call, "GET", path, query=query)
        return understand(read_objects, answer.data, "results")

    async def post_enrollment(self, call: PartnerCall, body: Mapping[str, str]) -> EnrollmentFacts:
        """Make an enrollment of this body."""
        read = partial(read_enrollment, self.sheet)
        return await self.create(call, self.sheet.enrollment_path, body, read, key="enrollment")

    async def create(
        self,
        call: PartnerCall,
        path: str,
        body: Mapping[str, str],
        read: Callable[[object], T],
        *,
        key: str = "",
    ) -> T:
        """Make something and read it; on a conflict what the partner says is there already."""
        answer = await self.ask(call, "POST", path, body=body, key=key, accept=(_CONFLICT,))
        try:
            return read(answer.data)
        except Unintelligible as error:
            reason = error.reason
        if answer.status == _CONFLICT:
            raise NeedsPerson("conflict", answer.words)
        raise OutcomeUnknown(f"the partner's answer is not understood: {reason}")

    def _path_of(self, enrollment_id: str, rest: str = "") -> str:
        return f"{self.sheet.enrollment_path}/{quote(enrollment_id, safe='')}{rest}"


def _is_gone(data: object) -> bool:
    return isinstance(data, Mapping) and data.get("error") == "unknown_enrollment"
