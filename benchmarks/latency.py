"""(c) From a partner's webhook to the next partner's enrollment request, at 50 events a second.

The person's account exists at the next partner. The clock is the simulator's: from writing the
webhook to reading the request, so both ways through the network stack are counted.
"""

from collections.abc import Mapping, Sequence

from benchmarks.bench import Bench, Connection
from benchmarks.data import (
    School,
    add_accounts,
    add_learners,
    answer_calls,
    enroll,
    make_school,
    start,
)
from benchmarks.system import System, run_system

PER_SECOND = 50
EVENTS = 1500
QUICK_EVENTS = 600


def run(bench: Bench) -> Mapping[str, float]:
    """Return `p50_ms` and `p99_ms` over all events."""
    school = make_school(bench)
    with run_system(bench) as system, bench.connect_as_superuser() as db:
        measure(bench, system, db, school, 150)
        taken = measure(bench, system, db, school, QUICK_EVENTS if bench.quick else EVENTS)
    return {"p50_ms": percentile(taken, 50), "p99_ms": percentile(taken, 99)}


def measure(
    bench: Bench, system: System, db: Connection, school: School, count: int
) -> list[float]:
    """Report `count` completed first steps evenly; return the milliseconds of each."""
    learners = add_learners(db, school, count)
    add_accounts(db, school, learners)
    enrollments = enroll(db, school, learners)
    db.execute("update installation set outbound_held = true")
    start(bench)
    answer_calls(db)
    db.execute("update installation set outbound_held = false")
    runs = db.execute(
        "select r.external_enrollment_id, s.learner_id from enrollment_steps s "
        "join partner_lms_enrollments r on r.id = s.partner_enrollment_id "
        "where s.enrollment_id = any (%s) and s.sequence_order = 1 order by random()",
        [enrollments],
    ).fetchall()
    db.execute("analyze")
    system.tell(do="latencies")
    system.tell(
        do="report",
        per_second=PER_SECOND,
        runs=[[1, external, str(person)] for external, person in runs],
    )
    taken: list[float] = []
    for _ in range(50):
        taken += system.tell(do="latencies")
        if len(taken) >= count:
            break
        db.execute("select pg_sleep(0.1)")
    if len(taken) < count:
        raise AssertionError(f"only {len(taken)} of {count} next calls arrived")
    return taken


def percentile(values: Sequence[float], share: int) -> float:
    """The value below which `share` percent lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]
