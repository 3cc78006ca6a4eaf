"""What time brings: enrollments whose start date has come, entries for which nobody waits any more."""

from django.db import connection

_BATCH = 200


def start_due_enrollments() -> int:
    """Start the active enrollments whose start date has come; return how many there were."""
    started = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute("select start_due_enrollments(%s)", [_BATCH])
            (count,) = cursor.fetchone() or (0,)
        started += count
        if count < _BATCH:
            return started


def release_providers() -> None:
    """Take providers off the attention list for which no call waits any more."""
    with connection.cursor() as cursor:
        cursor.execute("select release_providers()")
