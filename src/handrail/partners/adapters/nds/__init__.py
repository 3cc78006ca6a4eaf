"""NDS (National Drug Screening): a service order with a result, and short trainings.

A screening is ordered, collected, reported. Its result is sensitive: it travels in
`sensitive_result` alone, and whatever words come with it count as result too.
"""

from collections.abc import Mapping

from handrail.partners.adapters.origin import OriginAdapter
from handrail.partners.adapters.origin.sheet import Sheet
from handrail.partners.protocol import Adapter, Offers, PartnerFact


class NdsAdapter(OriginAdapter):
    """Offers neither look-up nor key: after an unknown outcome a person decides."""

    def translate(self, message: Mapping[str, object]) -> list[PartnerFact]:
        return [_keep_apart(fact) for fact in super().translate(message)]


def _keep_apart(fact: PartnerFact) -> PartnerFact:
    said = "; ".join(filter(None, (fact.sensitive_result, fact.reason)))
    return fact._replace(reason="", sensitive_result=said)


adapter: Adapter = NdsAdapter(
    Sheet(
        name="nds",
        offers=Offers(find_account=False, find_enrollment=False),
        key_header="X-API-Key",
        organization_header="X-Client-Id",
        organization_field="clientId",
        account_path="/api/participants",
        account_id="participantId",
        login_url="portalUrl",
        enrollment_path="/api/enrollments",
        access_url="trainingUrl",
        progress_path="/status",
        launch_path="/api/sso/launch",
    )
)
