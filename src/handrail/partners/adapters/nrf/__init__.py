"""NRF: National Restaurant Foundation, ServSafe (the origin also calls it NRF RISE Up)."""

from handrail.partners.adapters.origin import OriginAdapter
from handrail.partners.adapters.origin.sheet import CertificateFields, Sheet
from handrail.partners.protocol import Adapter, Offers

adapter: Adapter = OriginAdapter(
    Sheet(
        name="nrf",
        offers=Offers(find_account=True, find_enrollment=True, unenroll=True),
        key_header="Authorization",
        organization_header="X-Partner-Id",
        organization_field="partnerId",
        account_path="/api/v1/learners",
        account_id="learnerId",
        login_url="platformUrl",
        enrollment_path="/api/v1/enrollments",
        access_url="courseUrl",
        percent="completionPercentage",
        completed_at="completedAt",
        seen_at="lastAccessedAt",
        certificate=CertificateFields(number="credentialId"),
        launch_path="/api/v1/sso/token",
        launch_url="ssoUrl",
    )
)
