"""Milady RISE: cosmetology, barbering and beauty; long programs, bound to a school."""

from handrail.partners.adapters.origin import OriginAdapter
from handrail.partners.adapters.origin.sheet import Sheet
from handrail.partners.protocol import Adapter, Offers

adapter: Adapter = OriginAdapter(
    Sheet(
        name="milady",
        offers=Offers(find_account=True, find_enrollment=True, idempotency_hours=24, unenroll=True),
        key_header="Authorization",
        organization_header="X-School-Id",
        organization_field="schoolId",
        account_path="/api/v1/students",
        account_id="studentId",
        login_url="accessUrl",
        enrollment_path="/api/v1/enrollments",
        enrollment_names_organization=True,
        access_url="courseUrl",
        percent="progressPercent",
        completed_at="completedDate",
        seen_at="lastActivityDate",
        launch_path="/api/v1/sso/launch",
    )
)
