"""Days that do not end in the middle of a test."""

import time
from datetime import UTC, date, datetime, timedelta, tzinfo

LONGEST_TEST = timedelta(minutes=1)


def find_today(zone: tzinfo = UTC) -> date:
    """Return today's date in `zone`; in the day's last minute, wait for the next day."""
    while (now := datetime.now(zone)).date() != (now + LONGEST_TEST).date():
        time.sleep(1)
    return now.date()
