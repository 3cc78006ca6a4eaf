"""The process that applies stored events: `python -m benchmarks.apply machine|orm`.

Prints the seconds it took; start-up does not count.
"""

import os
import sys
import threading
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "handrail.config.settings")
django.setup()

from django.db import connection  # noqa: E402 - Django first: settings decide what the rest sees
from psycopg.conninfo import conninfo_to_dict  # noqa: E402

from benchmarks.adapter import register  # noqa: E402
from benchmarks.orm import apply_all  # noqa: E402
from handrail.inbox.process import run_applier  # noqa: E402


def apply_with_machine() -> float:
    """Apply everything as the applier process does; return seconds."""
    began = time.perf_counter()
    run_applier(threading.Event(), until_idle=True)
    return time.perf_counter() - began


def apply_with_orm() -> float:
    """Apply everything with the ORM; return seconds."""
    parts = conninfo_to_dict(os.environ["BENCH_DSN"])
    connection.settings_dict.update(USER=parts["user"], PASSWORD=parts["password"])
    connection.ensure_connection()
    began = time.perf_counter()
    apply_all()
    return time.perf_counter() - began


if __name__ == "__main__":
    register()
    taken = apply_with_orm() if sys.argv[1] == "orm" else apply_with_machine()
    sys.stdout.write(f"{taken}\n")
