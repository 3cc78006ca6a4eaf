"""What the templates of all pages share. How to use it: docs/reference/pages.md."""

from typing import Final, Literal, NamedTuple, TypedDict

from django import template
from django.forms import BoundField

register = template.Library()

Tone = Literal["good", "busy", "warning", "bad", "neutral"]


class Status(NamedTuple):
    """How a status is shown: its words, its tone, its icon of the USWDS sprite."""

    words: str
    tone: Tone
    icon: str


STATUSES: Final = {
    # Enrollments and steps
    "pending": Status("Not started", "neutral", "radio_button_unchecked"),
    "active": Status("Active", "busy", "autorenew"),
    "in_progress": Status("In progress", "busy", "autorenew"),
    "completed": Status("Completed", "good", "check_circle"),
    "failed": Status("Failed", "bad", "error"),
    "skipped": Status("Not required", "neutral", "fast_forward"),
    "suspended": Status("On hold", "warning", "lock_outline"),
    "withdrawn": Status("Withdrawn", "neutral", "remove_circle"),
    "ended": Status("Not completed", "neutral", "remove_circle"),
    "transferred": Status("Transferred", "neutral", "arrow_forward"),
    # Runs at a partner
    "requested": Status("Waiting to be sent", "neutral", "schedule"),
    "provisioning": Status("Being set up at the partner", "busy", "autorenew"),
    "needs_attention": Status("Needs a person", "warning", "warning"),
    "cancelling": Status("Being canceled", "busy", "autorenew"),
    "cancelled": Status("Canceled", "neutral", "cancel"),
    # Calls to a partner (intents)
    "queued": Status("Waiting to be sent", "neutral", "schedule"),
    "sending": Status("Being sent", "busy", "autorenew"),
    "done": Status("Done", "good", "check_circle"),
    "unknown": Status("No answer yet", "warning", "help"),
    "needs_person": Status("Needs a person", "warning", "warning"),
    "canceled": Status("Canceled", "neutral", "cancel"),
    # Webhook events
    "received": Status("Received", "neutral", "schedule"),
    "waiting": Status("Waiting for its enrollment", "neutral", "schedule"),
    "applied": Status("Applied", "good", "check_circle"),
    "ignored": Status("Ignored", "neutral", "remove_circle"),
    # Credentials and their PDF
    "rendered": Status("Ready", "good", "check_circle"),
    "valid": Status("Valid", "good", "verified"),
    "revoked": Status("Revoked", "bad", "cancel"),
    "superseded": Status("Replaced by a newer one", "neutral", "history"),
}

# The widget's class in lower case, as `BoundField.widget_type` gives it.
WIDGET_CLASSES: Final = {
    "checkbox": "usa-checkbox__input",
    "checkboxselectmultiple": "usa-checkbox__input",
    "clearablefile": "usa-file-input",
    "file": "usa-file-input",
    "nullbooleanselect": "usa-select",
    "radioselect": "usa-radio__input",
    "select": "usa-select",
    "selectmultiple": "usa-select",
    "textarea": "usa-textarea",
}


class IconContext(TypedDict):
    name: str
    label: str


class StatusContext(TypedDict):
    words: str
    tone: Tone
    icon: str


@register.inclusion_tag("core/icon.html")
def icon(name: str, label: str = "") -> IconContext:
    """An icon of the USWDS sprite; with a `label` it speaks, without one it is decoration."""
    return {"name": name, "label": label}


@register.inclusion_tag("core/status.html")
def status_tag(status: str, words: str = "") -> StatusContext:
    """A status as words and an icon, never as color alone; `words` replaces the usual ones."""
    known = STATUSES.get(status) or Status(status.replace("_", " ").capitalize(), "neutral", "help")
    return {"words": words or known.words, "tone": known.tone, "icon": known.icon}


@register.filter
def as_uswds(field: BoundField) -> BoundField:
    """The field with the classes of USWDS on its widget, ready to be shown.

    Django adds `aria-describedby` and `aria-invalid`. A placeholder goes: it vanishes while one
    types and is too faint; what it says belongs in the label or the help text.
    """
    attributes = field.field.widget.attrs
    classes = [WIDGET_CLASSES.get(field.widget_type, "usa-input"), attributes.get("class", "")]
    if field.errors and classes[0] == "usa-input":
        classes.append("usa-input--error")
    attributes["class"] = " ".join(dict.fromkeys(" ".join(classes).split()))
    attributes.pop("placeholder", None)
    return field
