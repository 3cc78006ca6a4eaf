"""The partner of the benchmarks: honors idempotency keys, offers no look-up; and the processes that know it."""

import sys

from handrail.config.cli import main
from handrail.partners import registry
from handrail.partners.adapters.origin import OriginAdapter
from handrail.partners.adapters.origin.sheet import Sheet
from handrail.partners.protocol import Offers

adapter = OriginAdapter(
    Sheet(
        name="bench",
        offers=Offers(find_account=False, find_enrollment=False, idempotency_hours=24),
        key_header="X-API-Key",
        organization_header="X-Organization-Id",
        organization_field="organizationId",
        account_path="/students",
        account_id="studentId",
        login_url="loginUrl",
        enrollment_path="/enrollments",
        access_url="accessUrl",
        percent="percentage",
        completed_at="completedAt",
        seen_at="lastAccessed",
        launch_path="/launch",
    )
)


def register() -> None:
    """Let this process know the adapter `bench`, beside the real ones."""
    registry.load_adapters()["bench"] = adapter


if __name__ == "__main__":
    # `python -m benchmarks.adapter applier`: a process of ours that knows the adapter; the worker makes
    # calls to partners and nothing else, so that no certificate is rendered while calls are measured.
    register()
    if sys.argv[1:] == ["worker"]:
        from handrail.core import worker

        worker.run_worker.__kwdefaults__["only"] = frozenset({"provisioning"})
    main()
