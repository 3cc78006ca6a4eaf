"""No child outlives its parent, not even one that was killed by SIGKILL (Linux)."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # prctl(2)
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def make_die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """Return a function for `preexec_fn`: the kernel sends `number` when our thread is gone."""
    parent = os.getpid()

    def die_with_parent() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, number)
            if os.getppid() != parent:  # It went before we asked.
                os.kill(os.getpid(), number)

    return die_with_parent
