"""What only the templates of the console need."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from django import template
from django.utils.html import format_html
from django.utils.text import capfirst

from handrail.core.templatetags.pages import StatusContext, status_tag
from handrail.enrollments.words import MESSAGE_KINDS, Step

register = template.Library()

_OPEN: Final = ("pending", "in_progress")
_END: Final = re.compile(r"[:.]\s+")

FUNDING: Final = {
    "self_pay": "The learner",
    "employer": "The employer",
    "WIOA": "WIOA",
    "WRG": "WRG",
    "JRI": "JRI",
    "apprenticeship": "The apprenticeship",
    "scholarship": "A scholarship",
}


@register.inclusion_tag("core/status.html")
def step_status(step: Step, enrollment_status: str) -> StatusContext:
    """How a step stands; one that was open when its enrollment ended early is told as the learner sees it."""
    if enrollment_status in ("withdrawn", "transferred") and step.status in _OPEN:
        return status_tag("ended")
    if step.skip_reason == "not_chosen":
        return status_tag(step.status, "Not chosen")
    if step.status == "pending" and step.chosen_at:
        return status_tag(step.status, "Chosen, not started")
    return status_tag(step.status)


@register.filter
def message_kind(kinds: str) -> str:
    """What a message says, in words; it can say several things."""
    return ", ".join(MESSAGE_KINDS.get(each, each) for each in kinds.split())


@register.filter
def tell_refusal(cause: str) -> str:
    """Why something needs a person; a partner's own words are told as such, its status in brackets."""
    return re.sub(r"^(4\d\d): ", r"The partner refused (\1): ", cause)


@register.filter
def headline(cause: str) -> str:
    """Why something needs a person, in short: up to the first colon or the end of the first sentence."""
    return _split(cause)[0]


@register.filter
def detail(cause: str) -> str:
    """What the headline leaves out of it; "" when nothing."""
    return _split(cause)[1]


def _split(cause: str) -> tuple[str, str]:
    short, _, rest = _END.sub("\n", tell_refusal(cause), count=1).partition("\n")
    return capfirst(short.removesuffix(".")), capfirst(rest)


@register.filter
def break_at(email: str) -> str:
    """An address that is broken before its domain rather than anywhere."""
    name, at, domain = email.rpartition("@")
    return format_html("{}{}<wbr>{}", name, at, domain)


@register.filter
def duration(value: timedelta) -> str:
    """A time in the unit a person would use: "40 min", "5 h", "12 days"."""
    minutes = round(value.total_seconds() / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{round(minutes / 60)} h"
    return f"{round(minutes / 1440)} days"


@register.filter
def funding(value: str) -> str:
    """Who pays, in words."""
    return FUNDING.get(value, value)


@register.filter
def get(values: Mapping[Any, str], key: Any) -> str:
    """The value of a key; "" without one."""
    return values.get(key, "")
