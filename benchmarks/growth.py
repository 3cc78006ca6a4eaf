"""(e) The same at 10,000 and at 1,000,000 enrollments: how many times longer it takes.

Both databases are up, each on its own server, which nothing else used; measurements alternate between
them, and each ratio is the median of the pairs.
"""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks import advance, ingest, journeys, latency
from benchmarks.bench import Bench, median
from benchmarks.data import answer_calls, make_school
from benchmarks.history import fill

SMALL = 10_000
LARGE = 1_000_000


def run(small: Bench, large: Bench) -> Mapping[str, float]:
    """Return `ingest`, `advance`, `latency`, `journeys`: 1.0 means no slower on the large database."""
    for bench, size in ((small, SMALL), (large, LARGE)):
        with bench.connect_as_superuser() as reader, bench.connect_as_superuser() as writer:
            fill(reader, writer, make_school(bench), until=size)
    return {
        "ingest": _compare(small, large, ingest.measure_stored_per_second),
        "advance": _compare(small, large, _advance_once),
        "latency": 1 / _compare(small, large, lambda bench: latency.run(bench)["p50_ms"]),
        "journeys": 1 / _compare(small, large, journeys.measure_cpu),
    }


def _advance_once(bench: Bench) -> float:
    school = make_school(bench)
    with bench.connect_as_superuser() as db:
        advance.store_reports(bench, db, school, advance.EVENTS)
        rate = advance.EVENTS / advance.apply_in_process(bench, "machine")
        answer_calls(db)
    return rate


def _compare(small: Bench, large: Bench, rate: Callable[[Bench], Any]) -> float:
    """The median over the pairs of (rate on the small database / rate on the large one)."""
    return median([rate(small) / rate(large) for _ in range(small.pairs)])
