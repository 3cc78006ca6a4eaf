"""Compares what the sandbox was asked to do, and sent, with what Handrail knows.

The sandbox's state file is an outside party's own record; it may be read while the sandbox runs.
"""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from handrail.config.demo.asking import fetch

_DOUBLES = {
    "account": "select partner, email_key, count(*) from accounts group by 1, 2 having count(*) > 1",
    "enrollment or order": (
        "select e.partner, a.email_key || ' ' || e.course, count(*) from enrollments e "
        "join accounts a on a.id = e.account group by 1, 2 having count(*) > 1"
    ),
    "voucher": (
        "select v.partner, a.email_key || ' ' || v.course, count(*) from vouchers v "
        "join accounts a on a.id = v.account group by 1, 2 having count(*) > 1"
    ),
}
_THEIR_ACCOUNTS = "select partner, id from accounts"
_OUR_ACCOUNTS = """
select p.adapter, a.external_id from partner_accounts a
join partner_lms_providers p on p.id = a.provider_id where a.external_id is not null
"""
_THEIR_ENROLLMENTS = "select partner, id, status = 'completed' from enrollments"
_OUR_ENROLLMENTS = """
select p.adapter, r.external_enrollment_id, r.status = 'completed' from partner_lms_enrollments r
join partner_lms_providers p on p.id = r.provider_id where r.external_enrollment_id is not null
"""
# A partner that people reach by a link knows no id of ours, and we know none of theirs.
_THEIR_COMPLETIONS = """
select e.partner, a.email_key, e.course from enrollments e join accounts a on a.id = e.account
where e.status = 'completed'
"""
_OUR_COMPLETIONS = """
select p.adapter, l.email_normalized, c.code
from partner_lms_enrollments r
join partner_lms_providers p on p.id = r.provider_id
join partner_lms_courses c on c.id = r.course_id
join learners l on l.id = r.learner_id
where r.status = 'completed'
"""
_WITHOUT_ID = """
select p.adapter, l.email_normalized, c.code
from partner_lms_enrollments r
join partner_lms_providers p on p.id = r.provider_id and p.mode <> 'link'
join partner_lms_courses c on c.id = r.course_id
join learners l on l.id = r.learner_id
where r.status = 'completed' and r.external_enrollment_id is null
"""
_SENT = "select partner, id, body, state, attempts from webhooks"
_STORED = """
select p.adapter, encode(w.digest, 'hex') from webhook_events w
join partner_lms_providers p on p.id = w.provider_id
"""
_THEIR_CERTIFICATES = "select partner, id from certificates where revoked_at is null"
_OUR_CERTIFICATES = """
select p.adapter, c.external_id from partner_certificates c
join partner_lms_enrollments r on r.id = c.partner_enrollment_id
join partner_lms_providers p on p.id = r.provider_id
"""

Rows = set[tuple[Any, ...]]


def compare_with_sandbox(state: Path) -> list[str]:
    """Return every difference as a sentence; none when both sides agree.

    Nobody has a double account, enrollment, order or voucher; ids, completions and certificates
    are the same on both sides; each webhook that the sandbox says was delivered is stored, and
    none is stored that it never sent. Asked when nothing is under way any more.

    `state`: the sandbox's file. Our side is read through Django's connection.
    """
    with closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True, timeout=10)) as theirs:
        return [*_find_doubles(theirs), *_compare(theirs), *_compare_webhooks(theirs)]


def _find_doubles(theirs: sqlite3.Connection) -> Iterator[str]:
    for what, query in _DOUBLES.items():
        for partner, whose, count in theirs.execute(query):
            yield f"{partner}: {count} times the {what} of {whose}"


def _compare(theirs: sqlite3.Connection) -> Iterator[str]:
    linked = {
        slug for (slug,) in fetch("select adapter from partner_lms_providers where mode = 'link'")
    }

    def read(query: str) -> Rows:
        return {row for row in map(tuple, theirs.execute(query)) if row[0] not in linked}

    yield from _differ("account", read(_THEIR_ACCOUNTS), set(fetch(_OUR_ACCOUNTS)))
    enrollments = {(*row[:2], bool(row[2])) for row in read(_THEIR_ENROLLMENTS)}
    yield from _differ("enrollment (completed)", enrollments, set(fetch(_OUR_ENROLLMENTS)))
    completions = set(map(tuple, theirs.execute(_THEIR_COMPLETIONS)))
    yield from _differ("completion", completions, set(fetch(_OUR_COMPLETIONS)))
    yield from _differ("certificate", read(_THEIR_CERTIFICATES), set(fetch(_OUR_CERTIFICATES)))
    for row in fetch(_WITHOUT_ID):
        yield f"{_name(row)}: completed here, but without the partner's id"


def _compare_webhooks(theirs: sqlite3.Connection) -> Iterator[str]:
    sent = [(row[0], hashlib.sha256(row[2]).hexdigest(), *row[1:]) for row in theirs.execute(_SENT)]
    stored = set(fetch(_STORED))
    for partner, digest, id, _, state, _ in sent:
        if state == "delivered" and (partner, digest) not in stored:
            yield f"{partner}: webhook {id} was answered 2xx, but is not stored"
    for partner, digest in stored - {(row[0], row[1]) for row in sent if row[5]}:
        yield f"{partner}: a webhook is stored ({digest[:16]}) that the partner never sent"


def _differ(what: str, theirs: Rows, ours: Rows) -> Iterator[str]:
    for row in sorted(theirs - ours):
        yield f"{_name(row)}: this {what} is there at the partner and not here"
    for row in sorted(ours - theirs):
        yield f"{_name(row)}: this {what} is here and not there at the partner"


def _name(row: Sequence[object]) -> str:
    return " ".join(map(str, row))
