"""Directs the demo: prepares the organization, lets its people act, sees when it is over."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from django.db import InterfaceError, OperationalError

from handrail.config.demo.asking import leave_database
from handrail.config.demo.browser import SiteAway, ask_control
from handrail.config.demo.cast import Cast
from handrail.config.demo.display import Display
from handrail.config.demo.ending import Intake, conclude
from handrail.config.demo.learners import write_invented_roster
from handrail.config.demo.ledger import compare_with_sandbox
from handrail.config.demo.players import Places
from handrail.config.demo.state import Snapshot, take_snapshot
from handrail.config.demo.wish import Wish
from handrail.config.errors import ChildFailed
from handrail.config.example_files import find_example
from handrail.config.installation import LocalInstallation
from handrail.config.run import is_ready
from handrail.config.sandbox_setup import SandboxPlan, Study, read_control_token, set_up_sandbox
from handrail.enrollments.batches import Finding
from handrail.enrollments.roster import import_roster
from handrail.organizations.models import Organization
from handrail.programs.catalog import import_catalog
from handrail.programs.catalog_file import read_catalog
from handrail.programs.models import Program

SEED = 2  # the same demo each time
READY_SECONDS = 60.0
ROUND_SECONDS = 0.2
FAULTS = {"on": True, "hang_seconds": 3.0, "retry_after_seconds": 1, "delay_seconds": 1.0}
RETRY_SECONDS = [0.5, 1, 2, 2, 2, 5, 5, 10, 10, 10]
AWAY = (OperationalError, InterfaceError)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where the demo plays, and what was asked for."""

    local: LocalInstallation
    web_password: str = field(repr=False)
    wish: Wish
    began: float
    """When the command began, by the monotonic clock."""


class Director:
    """Prepares, runs beside the group of processes, and says at the end how it went."""

    def __init__(self, stage: Stage, display: Display) -> None:
        self._stage = stage
        self._display = display
        self._folder = stage.local.folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="director")
        host, port = stage.local.bind
        self._plan = SandboxPlan(
            folder=self._folder / "sandbox",
            port=stage.local.sandbox_port,
            handrail=f"http://{host}:{port}",
            study=lambda _: _describe_study(stage.wish.study_seconds),
            more={
                "seed": SEED,
                "retry_seconds": RETRY_SECONDS,
                "webhook_timeout_seconds": 5,
                **({"faults": FAULTS} if stage.wish.faults else {}),
            },
        )
        self._organization: Organization
        self._cast: Cast
        self._intake = Intake()
        self.verdict: int | None = None
        """The exit code; None while the demo has not come to its end."""

    def prepare(self) -> None:
        """Import the catalog, connect its providers with the sandbox, engage the cast."""
        catalog = read_catalog(find_example("catalog.toml").read_bytes())
        self._organization = import_catalog(catalog).organization
        set_up_sandbox(self._organization, self._plan)
        places = Places(web_password=self._stage.web_password, results=self._plan.results)
        self._cast = Cast(self._organization, places, seed=SEED)
        leave_database()

    def close(self) -> None:
        """Wait for what is under way, and leave the database."""
        self._thread.submit(leave_database)
        self._thread.shutdown()
        self._cast.close()

    async def run(self, stop: Callable[[], None]) -> None:
        """Enroll everybody, let everybody act until it is over, then call `stop`.

        Raises:
            ChildFailed: the processes did not come up.
        """
        await self._wait_until_ready()
        await self._in_thread(self._enroll)
        snapshot, differences = await self._play()
        ending = await self._in_thread(
            lambda: conclude(
                self._folder,
                state=self._plan.state,
                snapshot=snapshot,
                differences=differences,
                intake=self._intake,
                began=self._stage.began,
            )
        )
        self._display.show(snapshot)
        self._display.finish()
        for line in ending.lines:
            self._display.say(line)
        self.verdict = 0 if ending.is_good else 1
        stop()

    async def _wait_until_ready(self) -> None:
        host, port = self._stage.local.bind
        for _ in range(int(READY_SECONDS / ROUND_SECONDS)):
            if await self._in_thread(lambda: _ask_status(self._plan)) and await is_ready(
                host, port
            ):
                return
            await asyncio.sleep(ROUND_SECONDS)
        raise ChildFailed(
            f"The processes did not come up within {READY_SECONDS:g} seconds. What they said is in "
            f"{self._folder / 'demo.log'}."
        )

    def _enroll(self) -> None:
        files = [find_example("roster.csv")]
        if self._stage.wish.learners:
            files.append(self._folder / "invented.csv")
            programs = list(Program.objects.order_by("slug").values_list("slug", flat=True))
            write_invented_roster(
                files[-1], count=self._stage.wish.learners, programs=programs, seed=SEED
            )
        for file in files:
            self._import(file)

    def _import(self, file: Path) -> None:
        findings: list[Finding] = []
        with file.open("rb") as stream:
            report = import_roster(
                stream,
                organization=self._organization,
                tell=findings.append,
                start_all_now=True,
            )
        self._intake.add(report, findings)
        taken, refused = report.rows_taken, report.rows_refused
        self._display.say(f"{file.name}: {taken} rows taken, {refused} refused.")
        for finding in findings:
            if finding.kind == "kept":
                self._display.say(f"  {finding}")

    async def _play(self) -> tuple[Snapshot, list[str]]:
        """Go round until everything is over or nothing moves any more.

        Returns how far everybody is, and what differs between the partners' books and ours.
        """
        snapshot = await self._in_thread(self._go_round)
        progress, moved_at = snapshot.progress, time.monotonic()
        differences: list[str] = []
        while True:
            self._display.show(snapshot)
            if snapshot.progress != progress:
                progress, moved_at = snapshot.progress, time.monotonic()
            if time.monotonic() - moved_at > self._stage.wish.stuck_seconds:
                self._display.say(
                    f"Nothing has moved for {self._stage.wish.stuck_seconds:g} seconds."
                )
                return snapshot, differences
            await asyncio.sleep(ROUND_SECONDS)
            try:
                snapshot = await self._in_thread(self._go_round)
                if snapshot.is_done and await self._in_thread(self._is_idle):
                    differences = await self._in_thread(self._compare)
                    if not differences:
                        return snapshot, []
            except AWAY as error:
                self._display.note(f"the demo waits for the database: {error}")
                await self._in_thread(leave_database)

    def _compare(self) -> list[str]:
        return compare_with_sandbox(self._plan.state)

    def _is_idle(self) -> bool:
        """Whether nobody studies, no webhook waits, and no partner works on a request."""
        status = _ask_status(self._plan)
        names = ("studying", "webhooks_waiting", "working")
        return bool(status) and not any(status[name] for name in names)

    def _go_round(self) -> Snapshot:
        self._cast.act()
        return take_snapshot()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run it in the one thread that holds the connection to the database."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _describe_study(seconds: float) -> Study:
    return {"seconds": seconds, "messages": 4, "start": "auto" if seconds else "told"}


def _ask_status(plan: SandboxPlan) -> dict[str, object]:
    try:
        return ask_control(plan.address, read_control_token(plan.config), "status")
    except SiteAway:
        return {}
