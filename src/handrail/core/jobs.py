"""Jobs and timers: what an app's `ready()` registers and the worker runs (`core.job_runner`).

A job is added by the SQL function `enqueue_jobs(entrypoint, ids)` in the transaction that causes
it. Its function is ordinary Django code: it runs in a thread, as the service role. One that raises
is tried again with growing waits; one whose worker was killed is run again within ten seconds. So
it must find by itself whether there is still something to do.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timer:
    """A function called at the times of a cron expression, by one worker at a time."""

    expression: str
    function: str


jobs: dict[str, str] = {}
timers: dict[str, Timer] = {}


def register_job(entrypoint: str, function: str) -> None:
    """Take a job's function by its dotted path; it is called with the payload, mostly a row's id."""
    jobs[entrypoint] = function


def register_timer(name: str, *, expression: str, function: str) -> None:
    """Take a function, by its dotted path, that is called without arguments again and again.

    `expression`: cron's five fields, and seconds as a sixth. A run may be missed while no worker
    runs, so it must find by itself what there is to do.
    """
    timers[name] = Timer(expression, function)
