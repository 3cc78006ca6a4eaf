"""CareerSafe: OSHA 10 and 30 safety courses.

A new account may come with a temporary password in clear. Nothing reads that field: it is not
stored, not logged, not shown; the person asks CareerSafe for a new one or uses our launch link.
"""

from handrail.partners.adapters.origin import OriginAdapter
from handrail.partners.adapters.origin.sheet import CertificateFields, Sheet
from handrail.partners.protocol import Adapter, Offers

adapter: Adapter = OriginAdapter(
    Sheet(
        name="careersafe",
        offers=Offers(find_account=True, find_enrollment=True, unenroll=True),
        key_header="X-API-Key",
        organization_header="X-Organization-Code",
        organization_field="organizationCode",
        account_path="/api/members",
        account_id="memberId",
        login_url="loginUrl",
        enrollment_path="/api/enrollments",
        enrollment_names_organization=True,
        access_url="courseUrl",
        certificate=CertificateFields(
            number="cardNumber", issued_on="issueDate", download_url="pdfUrl"
        ),
        launch_path="/api/sso/launch",
    )
)
