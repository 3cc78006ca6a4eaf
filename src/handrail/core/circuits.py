"""Circuit breaker: after several failures in a row a provider is left alone for a while.

In memory of one process, each learns by itself. Times are seconds of a monotonic clock.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

FAILURES_TO_OPEN = 5
LONGEST_PAUSE_SECONDS = 60.0

Pass = Literal["call", "probe"]


@dataclass(slots=True)
class Circuit:
    """One provider's: closed; open until a time; then one probe at a time until one succeeds."""

    first_pause_seconds: float = 5.0
    clock: Callable[[], float] = time.monotonic
    failures: int = 0  # calls that failed in a row
    failed_probes: int = 0
    open_until: float = 0.0
    probing: bool = False

    @property
    def is_open(self) -> bool:
        """Whether a call now would be refused."""
        return self.probing or self.seconds_left() > 0

    def seconds_left(self) -> float:
        """Seconds until the next call may go out; 0 when it may go now."""
        return max(0.0, self.open_until - self.clock())

    def enter(self) -> Pass | None:
        """Ask to make a call; None when the circuit is open. What is given goes to `leave`."""
        if self.is_open:
            return None
        self.probing = self.failures >= FAILURES_TO_OPEN
        return "probe" if self.probing else "call"

    def leave(self, given: Pass, *, failed: bool | None) -> None:
        """Say how the call ended: it failed, the provider answered, or (None) neither is known."""
        if given == "probe":
            self.probing = False
        if failed is False:
            self.failures = self.failed_probes = 0
        elif failed and given == "probe":
            self.failed_probes = min(self.failed_probes + 1, 10)
            self.pause(min(self.first_pause_seconds * 2**self.failed_probes, LONGEST_PAUSE_SECONDS))
        elif failed:
            self.failures += 1
            if self.failures == FAILURES_TO_OPEN:  # those in flight at that time do not add to it
                self.pause(self.first_pause_seconds)

    def pause(self, seconds: float) -> None:
        """Leave the provider alone for so long, because it asked for it or does not answer."""
        self.open_until = max(self.open_until, self.clock() + seconds)
