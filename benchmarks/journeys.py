"""(d) Learners new to four partners, carried through a program of four steps, by the whole system.

At each partner one account call, one enrollment call and one webhook; study takes no time. The
clock and the processes' CPU time run from the first start to the last completion. Certificates are
issued within; their PDFs are rendered afterwards by a job and are not counted (see performance.md).
"""

import os
import time
from collections.abc import Mapping

from benchmarks.bench import (
    Bench,
    Connection,
    list_server_processes,
    median,
    read_cpu_seconds,
    wait_until,
)
from benchmarks.data import STEPS, School, add_learners, enroll, make_school, start
from benchmarks.system import System, run_system

LEARNERS = 1500
QUICK_LEARNERS = 600


def run(bench: Bench) -> Mapping[str, float]:
    """Return `learners_per_second` and `cpu_ms_per_learner`, each the median of the runs."""
    runs = _carry_often(bench, bench.pairs)
    return {
        "learners_per_second": median([each[0] for each in runs]),
        "cpu_ms_per_learner": median([each[1] for each in runs]),
    }


def measure_cpu(bench: Bench) -> float:
    """CPU milliseconds a learner, once; for the comparison of a small and a large database."""
    ((_, milliseconds),) = _carry_often(bench, 1)
    return milliseconds


def _carry_often(bench: Bench, times: int) -> list[tuple[float, float]]:
    school = make_school(bench)
    count = QUICK_LEARNERS if bench.quick else LEARNERS
    with run_system(bench) as system, bench.connect_as_superuser() as db:
        system.tell(do="study", on=True)
        carry(
            bench, system, db, school, 100
        )  # connections, plans and caches are warm in production
        runs = [carry(bench, system, db, school, count) for _ in range(times)]
        counts = system.tell(do="counts")
    _check_partners(counts, 100 + count * times)
    return runs


def carry(
    bench: Bench, system: System, db: Connection, school: School, count: int
) -> tuple[float, float]:
    """Carry `count` new learners; return learners a second and CPU milliseconds a learner."""
    enrollments = enroll(db, school, add_learners(db, school, count))
    db.execute("vacuum analyze")  # as autovacuum does in time
    db.execute("checkpoint")
    own = (*system.processes, *list_server_processes(bench))
    backend = {db.info.backend_pid}
    counted = [pid for pid in own if pid not in backend]
    cpu, began = read_cpu_seconds(*counted), time.perf_counter()
    start(bench)
    completed = "select count(*) = %s from enrollments where id = any (%s) and status = 'completed'"
    wait_until(
        lambda: bool((db.execute(completed, [count, enrollments]).fetchone() or [False])[0]),
        seconds=120,
        what=f"completing {count} enrollments",
    )
    seconds = time.perf_counter() - began
    used = (
        read_cpu_seconds(*counted, *(p for p in list_server_processes(bench) if p not in own)) - cpu
    )
    db.execute("delete from pgqueuer")  # the certificates' jobs
    return count / seconds, used / count * 1000


def _check_partners(counts: Mapping[str, int], learners: int) -> None:
    """Nobody was lost and nobody doubled, by the partners' own books."""
    expected = learners * STEPS
    if counts["accounts"] != expected or counts["enrollments"] != expected:
        raise AssertionError(
            f"the partners count {counts}, expected {expected} of each on {os.uname().nodename}"
        )
