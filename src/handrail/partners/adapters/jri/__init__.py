"""JRI (Job Ready Indy): a hosted portal that people reach by a link; it has no API for us.

The student gets the link; completion comes by the partner's file or is marked by staff.
"""

from typing import Any, NoReturn

from handrail.partners.adapters.origin import OriginAdapter
from handrail.partners.adapters.origin.sheet import Sheet
from handrail.partners.protocol import Adapter, NeedsPerson, Offers, PartnerCall, Person


class JriAdapter(OriginAdapter):
    """Makes no call; webhooks in the origin's format would be understood."""

    credential_names = ()

    async def create_account(self, call: PartnerCall, person: Person) -> NoReturn:
        await self.ask(call, "POST", self.sheet.account_path)

    async def ask(self, call: PartnerCall, method: str, path: str, **options: Any) -> NoReturn:
        raise NeedsPerson(
            "not_offered",
            "this partner is reached by a link: import its results file, or mark the step by hand",
        )


adapter: Adapter = JriAdapter(
    Sheet(
        name="jri",
        offers=Offers(
            find_account=False,
            find_enrollment=False,
            progress=False,
            certificate=False,
            launch=False,
        ),
        key_header="X-API-Key",
        organization_header="X-Organization-Id",
        organization_field="organizationId",
        account_path="/api/users",
        account_id="userId",
        login_url="portalUrl",
        enrollment_path="/api/enrollments",
        access_url="accessUrl",
        launch_path="/api/sso/launch",
    )
)
