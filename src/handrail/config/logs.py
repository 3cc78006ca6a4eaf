"""What Django says in the log."""

import logging


def leave_out_address(record: logging.LogRecord) -> bool:
    """Take the address out of what is said of a request: it may hold a one-time key.

    The last argument of each record of `django.request` and `django.security.csrf` is the path.
    """
    if isinstance(record.args, tuple) and record.args:
        record.args = (*record.args[:-1], "a page")
    return True
