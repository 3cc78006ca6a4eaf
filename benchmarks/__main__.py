"""`make bench`: measure, print a table, write var/bench.json.

--quick         three pairs, smaller counts, all figures within 15 minutes; keeps the large database
--only NAMES    a comma list of ingest, advance, latency, journeys, growth
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import advance, growth, ingest, journeys, latency
from benchmarks.bench import Bench, open_bench

RESULTS = Path("var/bench.json")
PAIRS, QUICK_PAIRS = 5, 3
GOALS = {
    "ingest.ratio": "at least 0.9 where a flush takes under 0.2 ms",
    "advance.per_second": "at least 10,000",
    "advance.ratio_to_orm": "at least 20",
    "latency.p50_ms": "under 6",
    "latency.p99_ms": "under 18",
    "journeys.learners_per_second": "at least 300",
    "journeys.cpu_ms_per_learner": "at most 4.5",
    "growth.ingest": "under 1.3",
    "growth.advance": "under 1.3",
    "growth.latency": "under 1.3",
    "growth.journeys": "under 1.3",
}
PARTS: Mapping[str, Callable[[Bench], Mapping[str, float]]] = {
    "ingest": ingest.run,
    "advance": advance.run,
    "latency": latency.run,
    "journeys": journeys.run,
}


def main() -> int:
    """Run what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default=",".join([*PARTS, "growth"]))
    options = parser.parse_args()
    names = options.only.split(",")
    pairs = QUICK_PAIRS if options.quick else PAIRS
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with open_bench("small", pairs=pairs, quick=options.quick) as bench:
        for name in [name for name in PARTS if name in names]:
            results[name] = _tell(name, lambda part=name: PARTS[part](bench))  # type: ignore[misc]
            _keep(results)
    if "growth" in names:
        with (
            open_bench("growth", pairs=pairs, quick=options.quick) as small,
            open_bench("large", pairs=pairs, quick=options.quick, keep=True) as large,
        ):
            results["growth"] = _tell("growth", lambda: growth.run(small, large))
            _keep(results)
    return 0


def _tell(name: str, measure: Callable[[], Mapping[str, float]]) -> dict[str, float]:
    began = time.monotonic()
    found = dict(measure())
    for key, value in found.items():
        goal = GOALS.get(f"{name}.{key}", "")
        sys.stdout.write(f"{name + '.' + key:<36}{value:>14,.3f}   {goal and 'goal: ' + goal}\n")
    sys.stdout.write(f"{'':<36}{time.monotonic() - began:>12,.0f} s\n")
    sys.stdout.flush()
    return {key: round(value, 4) for key, value in found.items()}


def _keep(results: Mapping[str, Any]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
