"""HSI (Health & Safety Institute): CPR, AED, first aid, emergency responder courses."""

from handrail.partners.adapters.origin import OriginAdapter
from handrail.partners.adapters.origin.sheet import Sheet
from handrail.partners.protocol import Adapter, Offers, Person, ProviderConfig


class HsiAdapter(OriginAdapter):
    """Is told phone and birth date, and how the course is taught."""

    def describe_person(self, person: Person, provider: ProviderConfig) -> dict[str, str]:
        body = super().describe_person(person, provider)
        if person.phone:
            body["phone"] = person.phone
        if person.birth_date:
            body["dateOfBirth"] = person.birth_date.isoformat()
        return body

    def describe_enrollment(
        self, account_id: str, course_code: str, provider: ProviderConfig
    ) -> dict[str, str]:
        body = super().describe_enrollment(account_id, course_code, provider)
        # RSV: remote skills verification. The contract's third type is never sent at the origin.
        body["enrollmentType"] = "rsv" if "RSV" in course_code else "blended"
        return body


adapter: Adapter = HsiAdapter(
    Sheet(
        name="hsi",
        offers=Offers(find_account=True, find_enrollment=True, idempotency_hours=24, unenroll=True),
        key_header="X-API-Key",
        organization_header="X-Organization-Id",
        organization_field="organizationId",
        account_path="/api/v1/students",
        account_id="studentId",
        login_url="loginUrl",
        enrollment_path="/api/v1/enrollments",
        access_url="accessUrl",
        percent="percentage",
        completed_at="completedAt",
        seen_at="lastAccessed",
        launch_path="/api/v1/sso/launch",
    )
)
