"""Parts that the office's, the learner's and the portal's pages share."""

import sqlite3
from collections.abc import Iterable

from aiohttp import web

from handrail_sandbox.clock import to_iso
from handrail_sandbox.config import Partner
from handrail_sandbox.markup import Child, Markup, button, facts, link, tag
from handrail_sandbox.shapes import get_course, get_percent, get_status_word
from handrail_sandbox.world import World

STATUS_WORDS = {
    "not_started": "not started",
    "in_progress": "in progress",
    "ended": "ended (unenrolled)",
}
DONE_WORDS = {
    "start": "The course is open.",
    "progress": "Progress was made.",
    "complete": "The course is finished.",
    "fail": "The course was failed.",
    "revoke": "The completion was taken back.",
    "unenroll": "The person was unenrolled.",
    "reopen": "The course starts again.",
}
LABELS = {
    "start": "Open course",
    "progress": "Make progress",
    "complete": "Finish course",
    "fail": "Fail course",
    "revoke": "Take back completion",
    "unenroll": "Unenroll",
    "reopen": "Start again",
}
EXAM_LABELS = {
    "progress": "Take a practice test",
    "complete": "Pass the exam",
    "fail": "Fail the exam",
}
SCREENING_LABELS = {
    "start": "Confirm the order",
    "progress": "Collect the sample",
    "complete": "Report: negative",
    "fail": "Report: positive",
}


def show_enrollment_facts(partner: Partner, row: sqlite3.Row) -> Markup:
    """Return what is known of an enrollment loaded with its person."""
    percent = get_percent(partner, row)
    return facts(
        ("Enrollment", row["id"]),
        ("Person", row["name"]),
        ("E-mail", row["email"]),
        ("Account", row["account"]),
        ("Course", row["course"]),
        ("Status", get_status_text(partner, row)),
        (
            "Progress",
            [
                tag("progress", max="100", value=str(percent), aria_label="Progress"),
                f" {percent}%",
            ],
        ),
        ("Enrolled", show_time(row["created_at"])),
        ("Opened", show_time(row["opened_at"])),
        ("Closed", show_time(row["closed_at"])),
    )


def show_certificate(world: World, partner: Partner, certificate: sqlite3.Row | None) -> Child:
    if certificate is None:
        return None
    address = world.link(partner, f"/certificates/{certificate['token']}")
    return facts(
        ("Certificate", link(certificate["printed"], f"{address}.pdf")),
        ("Verify it", link("Verification page", f"{address}.html")),
    )


def show_buttons(partner: Partner, row: sqlite3.Row, actions: Iterable[str]) -> Markup:
    """Return one form whose buttons post `action` to the page it stands on."""
    labels = dict(LABELS)
    if partner.platform.sells_vouchers:
        labels |= EXAM_LABELS
    if get_course(partner, row["course"]).kind == "screening":
        labels |= SCREENING_LABELS
    buttons = [
        button(labels[it], name="action", value=it, quiet=it not in {"start", "progress"})
        for it in actions
        if it != "start" or row["opened_at"] is None
    ]
    return tag("form", buttons, method="post", class_="actions")


def show_time(seconds: float | None) -> str:
    return "" if seconds is None else f"{to_iso(seconds)[:19].replace('T', ' ')} UTC"


def get_status_text(partner: Partner, row: sqlite3.Row) -> str:
    word = get_status_word(partner, row)
    return STATUS_WORDS.get(word, word)


async def read_form(request: web.Request) -> dict[str, str]:
    """Return the text fields of a form; files are left out."""
    form = await request.post()
    return {name: value for name, value in form.items() if isinstance(value, str)}
