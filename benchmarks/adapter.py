"""The partner of the benchmarks: honors idempotency keys, offers no look-up; and the processes that know it."""

import asyncio
import signal
import sys
from contextlib import ExitStack
from importlib import import_module

import uvloop

from handrail.config.cli import main, prepare
from handrail.partners import registry
from handrail.partners.adapters.origin import OriginAdapter
from handrail.partners.adapters.origin.sheet import Sheet
from handrail.partners.protocol import Adapter, Offers

adapter: Adapter = OriginAdapter(
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


def run_calls() -> None:
    """Be a worker that makes calls and nothing else: no certificate is rendered while calls are measured."""
    with ExitStack() as stack:
        prepare("worker", stack)
        # Only now, with Django set up, is there a worker to import.
        run_worker = import_module("handrail.core.worker").run_worker

        async def run() -> None:
            stop = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
            await run_worker(stop, only=frozenset({"provisioning"}))

        uvloop.run(run())


if __name__ == "__main__":
    # `python -m benchmarks.adapter applier`: a process of ours that knows the adapter.
    register()
    if sys.argv[1:] == ["calls"]:
        run_calls()
    else:
        main()
