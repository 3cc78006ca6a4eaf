"""(b) Stored events applied: bytes checked, JSON read, translated, step completed, next one started.

Each event completes the first step of somebody whose accounts exist, starts the second, writes
history and the intent of the next call. One applier, as it runs in production, against the same
journey with Django's ORM, in alternating pairs on the same database.
"""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Mapping

from benchmarks.bench import Bench, Connection, median
from benchmarks.data import (
    School,
    add_accounts,
    add_learners,
    answer_calls,
    enroll,
    make_school,
    start,
)

EVENTS = 20_000  # some seconds of work: an applier runs for months, its start should not count
ORM_EVENTS = 500


def run(bench: Bench, *, with_orm: bool = True) -> Mapping[str, float]:
    """Return `per_second` and, beside the ORM version, `ratio_to_orm`: medians of the pairs."""
    school = make_school(bench)
    ours, ratios = [], []
    with bench.connect_as_superuser() as db:
        store_reports(bench, db, school, 1000)
        apply_in_process(bench, "machine")
        for _ in range(bench.pairs):
            store_reports(bench, db, school, EVENTS)
            ours.append(EVENTS / apply_in_process(bench, "machine"))
            answer_calls(db)
            if with_orm:
                store_reports(bench, db, school, ORM_EVENTS)
                ratios.append(ours[-1] / (ORM_EVENTS / apply_in_process(bench, "orm")))
                answer_calls(db)
    result = {"per_second": median(ours)}
    return result | {"ratio_to_orm": median(ratios)} if with_orm else result


def store_reports(bench: Bench, db: Connection, school: School, count: int) -> None:
    """Store `count` messages as the ingress stores them: first steps completed, in no order."""
    learners = add_learners(db, school, count)
    add_accounts(db, school, learners)
    enrollments = enroll(db, school, learners)
    db.execute("update installation set outbound_held = true")
    start(bench)
    answer_calls(db)
    db.execute("update installation set outbound_held = false")
    rows = db.execute(
        "select r.external_enrollment_id from enrollment_steps s "
        "join partner_lms_enrollments r on r.id = s.partner_enrollment_id "
        "where s.enrollment_id = any (%s) and s.sequence_order = 1 order by random()",
        [enrollments],
    ).fetchall()
    endpoint = db.execute("select id from webhook_endpoints where key = 'p1'").fetchone()
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    columns = "endpoint_id, organization_id, provider_id, event_id, digest, body, content_type"
    with db.cursor().copy(f"copy webhook_events ({columns}) from stdin") as copy:
        for number, (external,) in enumerate(rows):
            data = {"enrollmentId": external, "completedAt": now}
            body = json.dumps(
                {"event": "course.completed", "timestamp": now, "data": data}
            ).encode()
            copy.write_row(
                (
                    endpoint[0] if endpoint else None,
                    school.organization,
                    school.providers[0],
                    f"evt-{time.time_ns()}-{number}",
                    hashlib.sha256(body).digest(),
                    body,
                    "application/json",
                )
            )
    db.execute("vacuum analyze")
    db.execute("checkpoint")


def apply_in_process(bench: Bench, which: str) -> float:
    """Apply what is stored in a process of its own; return the seconds it took, start-up not counted."""
    environment = bench.environment_of("applier")
    if which == "orm":  # It writes what only the machine may: as the superuser, past all walls.
        environment["BENCH_DSN"] = bench.local.postgres.admin_dsn("handrail")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.apply", which],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return float(done.stdout.split()[-1])
