"""What Django says in the log."""

import logging


def leave_out_address(record: logging.LogRecord) -> bool:
    """Take the address out of what is said of a request: it may hold a one-time key.

    The last argument of each record of `django.request` and `django.security.csrf` is the path.
    """
    if isinstance(record.args, tuple) and record.args:
        record.args = (*record.args[:-1], "a page")
    return True


def shorten_refused_host(record: logging.LogRecord) -> bool:
    """Make one warning of a request to another host name: anybody can send it, no code is wrong.

    Django logs it to `django.security.DisallowedHost` as an error, with a traceback, and names a
    setting that Handrail's settings derive from `HANDRAIL_BASE_URL`.
    """
    record.msg = str(record.msg).partition(" You may need to add ")[0]
    record.levelno, record.levelname = logging.WARNING, "WARNING"
    record.exc_info = record.exc_text = None
    return True
