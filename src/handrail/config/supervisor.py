"""A group of child processes that live and die together.

Each child has its own environment, its lines are passed on with its name, one that dies is started
again, and none outlives the group: not after Ctrl-C, not after SIGTERM, not after a `kill -9`.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from handrail.config.errors import EX_CONFIG
from handrail.config.parent_death import make_die_with_parent

SHORTEST_WAIT = 0.5  # seconds before the first restart; doubled for each further one
LONGEST_WAIT = 30.0
STEADY_SECONDS = 60.0  # a child that lived so long is well; its next restart waits little again
STOP_SECONDS = 15.0  # from SIGTERM to SIGKILL
SAME_SIGNAL_SECONDS = 0.5  # make passes on what a service manager sent to all of us
LINE_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A child: its name in the output, its command, and the whole of its environment."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)


class Group:
    """Runs children until told to stop; stops them in the order in which they were given."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        say: Callable[[str], None] = print,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._specs = specs
        self._say = say
        self._stop_seconds = stop_seconds
        self._width = max((len(spec.name) for spec in specs), default=0)
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._told_at = 0.0
        self._failed = False

    async def run(self, *companions: Awaitable[None]) -> int:
        """Keep all children running until `stop`, SIGINT or SIGTERM; return the exit code.

        `companions` run beside them (a watch over the database, say) and are cancelled at the end.
        An exception of one ends the group and is raised again.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._take_signal)
        tasks = [asyncio.ensure_future(each) for each in companions]
        keepers = [asyncio.create_task(self._keep(spec)) for spec in self._specs]
        ends = [*tasks, *keepers, asyncio.create_task(self._stopping.wait())]
        pending = set(ends)
        try:
            while not self._stopping.is_set():
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            self._stopping.set()
            await self._stop_children()
            if keepers:
                await asyncio.wait(keepers, timeout=1)  # for their last lines
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
        return EX_CONFIG if self._failed else 0

    def stop(self) -> None:
        """Let `run` stop the children and return."""
        self._stopping.set()

    def _take_signal(self) -> None:
        if self._stopping.is_set():
            if time.monotonic() - self._told_at < SAME_SIGNAL_SECONDS:
                return
            self._say("Ending at once.")
            for process in self._processes.values():
                _signal(process, signal.SIGKILL)
            return
        self._told_at = time.monotonic()
        self._say("Stopping. Again to end at once.")
        self._stopping.set()

    async def _keep(self, spec: ProcessSpec) -> None:
        """Start a child again whenever it ends, waiting longer each time it ends soon."""
        wait = SHORTEST_WAIT
        while not self._stopping.is_set():
            began = time.monotonic()
            process = await self._start(spec)
            await self._pass_on(spec, process)
            code = await process.wait()
            if self._stopping.is_set():
                return
            if code == EX_CONFIG:
                self._say(f"{spec.name} cannot work with this configuration; stopping.")
                self._failed = True
                self._stopping.set()
                return
            wait = SHORTEST_WAIT if time.monotonic() - began > STEADY_SECONDS else wait
            self._say(
                f"{spec.name} ended ({describe_exit(code)}). Starting it again in {wait:g} s."
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._stopping.wait()
            wait = min(wait * 2, LONGEST_WAIT)

    async def _start(self, spec: ProcessSpec) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *spec.arguments,
            env=spec.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE_LIMIT,
            start_new_session=True,  # Ctrl-C is ours: we stop them in order.
            preexec_fn=make_die_with_parent(signal.SIGKILL),
        )
        self._processes[spec.name] = process
        return process

    async def _pass_on(self, spec: ProcessSpec, process: asyncio.subprocess.Process) -> None:
        """Print the child's lines after its name, until it closes its output."""
        if process.stdout is None:
            raise TypeError("a child's output is a pipe")
        while True:
            try:
                line = await process.stdout.readuntil()
            except asyncio.LimitOverrunError as error:
                line = await process.stdout.readexactly(error.consumed)
            except asyncio.IncompleteReadError as error:
                line = error.partial
            if not line:
                return
            text = line.decode(errors="replace").rstrip("\n")
            self._say(f"{spec.name:<{self._width}} | {text}")

    async def _stop_children(self) -> None:
        for spec in self._specs:
            process = self._processes.get(spec.name)
            if process is None or process.returncode is not None:
                continue
            _signal(process, signal.SIGTERM)
            _signal(process, signal.SIGCONT)  # A stopped one would never see the first.
            try:
                async with asyncio.timeout(self._stop_seconds):
                    await process.wait()
            except TimeoutError:
                self._say(f"{spec.name} did not stop in {self._stop_seconds:g} s and is ended.")
                _signal(process, signal.SIGKILL)
                await process.wait()


def describe_exit(code: int) -> str:
    """Return how a process ended, in words."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
