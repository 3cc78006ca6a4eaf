"""Certiport (Pearson VUE): an exam, taken with a voucher that is bought first."""

from collections.abc import Mapping

from handrail.partners.adapters.certiport.exam import read_exam
from handrail.partners.adapters.origin import OriginAdapter
from handrail.partners.adapters.origin.sheet import CertificateFields, Sheet
from handrail.partners.protocol import (
    Adapter,
    EnrollmentFacts,
    NeedsPerson,
    Offers,
    PartnerCall,
    PartnerFact,
    Save,
)
from handrail.partners.reading import as_object, get_credential, read_id, understand

_VOUCHERS = "/api/v2/vouchers"
_SAVED_VOUCHER = "voucher_id"


class CertiportAdapter(OriginAdapter):
    """Buys a voucher, saves it, enrolls with it; each purchase costs money.

    Who was ever enrolled in an exam is not enrolled again: then the old enrollment is returned.
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
        voucher = saved.get(_SAVED_VOUCHER, "")
        if not voucher:
            voucher = await self._find_voucher(call, account_id, course_code)
            if not voucher:
                # After any enrollment the answer is 409 for ever: a voucher would be for nothing.
                existing = await self.find_enrollment(
                    call, account_id=account_id, course_code=course_code
                )
                if existing:
                    return existing
                voucher = await self._buy_voucher(call, account_id, course_code)
            await save({_SAVED_VOUCHER: voucher})
        body = self.describe_enrollment(account_id, course_code, call.provider)
        body["voucherId"] = voucher
        try:
            return await self.post_enrollment(call, body)
        except NeedsPerson as error:
            if error.cause != "refused":
                raise
            # Who asks the partner about it, or for a new one, has to name it.
            raise NeedsPerson(error.cause, f"{error.words} (voucher {voucher})") from error

    async def _find_voucher(self, call: PartnerCall, account_id: str, exam: str) -> str:
        """A voucher that an earlier attempt bought without hearing so; "" when there is none."""
        query = {self.sheet.account_id: account_id, self.sheet.course_code: exam}
        for each in await self.look_up(call, _VOUCHERS, query):
            if each.get("status") == "unused":
                return understand(read_id, each, "voucherId")
        return ""

    async def _buy_voucher(self, call: PartnerCall, account_id: str, exam: str) -> str:
        body = {
            self.sheet.account_id: account_id,
            self.sheet.course_code: exam,
            self.sheet.organization_field: get_credential(call.provider, "organization_id"),
        }
        return await self.create(call, _VOUCHERS, body, _read_voucher)

    def read_state(self, data: object, enrollment_id: str) -> list[PartnerFact]:
        return read_exam(data, enrollment_id)


def _read_voucher(data: object) -> str:
    return read_id(as_object(data), "voucherId")


adapter: Adapter = CertiportAdapter(
    Sheet(
        name="certiport",
        offers=Offers(find_account=True, find_enrollment=True),
        key_header="Authorization",
        organization_header="X-Organization-Id",
        organization_field="organizationId",
        account_path="/api/v2/users",
        account_id="userId",
        login_url="portalUrl",
        enrollment_path="/api/v2/enrollments",
        course_code="examCode",
        access_url="accessUrl",
        progress_path="/status",
        certificate=CertificateFields(number="certificationNumber", verification_url="verifyUrl"),
        launch_path="/api/v2/sso/token",
        launch_url="ssoUrl",
    )
)
