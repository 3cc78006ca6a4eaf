"""What staff enter when they decide something."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from django import forms
from django.utils import timezone

from handrail.enrollments.roster_rows import FIRST_YEAR
from handrail.enrollments.words import MESSAGE_KINDS, WAIVERS
from handrail.people.text import clean_text, find_text_problem

LONGEST_NOTE = 1000
LONGEST_ID = 200
LONGEST_NAME = 200
_FIRST_DAY: Final = date(FIRST_YEAR, 1, 1)


def _make_note(label: str, hint: str = "", *, required: bool = True) -> forms.CharField:
    return forms.CharField(
        label=label,
        help_text=hint,
        required=required,
        max_length=LONGEST_NOTE,
        widget=forms.Textarea(attrs={"rows": 2}),
    )


class NothingForm(forms.Form):
    """A decision that needs no words."""


class ReasonForm(forms.Form):
    reason = _make_note("Reason", "It is kept in the history with your name.")


class NoteForm(forms.Form):
    note = _make_note("Note", required=False)


class KnownForm(forms.Form):
    note = _make_note("What was done about it", "It is kept with your name.")


class _PastDay(forms.DateField):
    """A day that a partner names: within the years that files may name, today at the latest."""

    def __init__(self, label: str) -> None:
        super().__init__(
            label=label,
            help_text="The day the partner names.",
            widget=forms.DateInput(attrs={"type": "date"}),
        )

    def get_bound_field(self, form: forms.BaseForm, field_name: str) -> forms.BoundField:
        self.widget.attrs["min"] = _FIRST_DAY.isoformat()
        self.widget.attrs["max"] = timezone.localdate().isoformat()
        return super().get_bound_field(form, field_name)

    def validate(self, value: date) -> None:
        super().validate(value)
        if value < _FIRST_DAY:
            raise forms.ValidationError("This day is too long ago. Check the year.")
        if value > timezone.localdate():
            raise forms.ValidationError("This day lies in the future.")


class CompletedForm(forms.Form):
    completed_on = _PastDay("Completed on")
    note = _make_note("Evidence", "Where you saw it: a certificate, the partner's page, a message.")


class FailedForm(forms.Form):
    failed_on = _PastDay("Failed on")
    note = _make_note(
        "Evidence",
        "What happened, and where you saw it. The learner reads it as words of your organization.",
    )


class WaiverForm(forms.Form):
    waiver = forms.ChoiceField(
        label="Why it is not required", choices=list(WAIVERS.items()), widget=forms.RadioSelect
    )
    reason = _make_note("Reason", "It is kept in the history with your name.")


class NameForm(forms.Form):
    first_name = forms.CharField(label="First name", max_length=LONGEST_NAME)
    last_name = forms.CharField(label="Last name", required=False, max_length=LONGEST_NAME)
    reason = _make_note("Reason", "It is kept in the history with your name.")

    def clean_first_name(self) -> str:
        return _clean_name(self.cleaned_data["first_name"])

    def clean_last_name(self) -> str:
        return _clean_name(self.cleaned_data["last_name"])


def _clean_name(text: str) -> str:
    name = clean_text(text)
    problem = find_text_problem(name)
    if problem:
        raise forms.ValidationError(f"The name {problem}.")
    return name


def _make_id(label: str) -> forms.CharField:
    return forms.CharField(
        label=label,
        help_text="As the partner's own page shows it for this person.",
        max_length=LONGEST_ID,
    )


class AccountIdForm(forms.Form):
    external_id = _make_id("The account's id at the partner")
    note = _make_note("Note", required=False)


class EnrollmentIdForm(forms.Form):
    external_id = _make_id("The enrollment's id at the partner")
    note = _make_note("Note", required=False)


def _make_right_id(label: str) -> forms.CharField:
    return forms.CharField(
        label=label,
        help_text="As the partner's own page shows it. Leave it empty when you do not know it: "
        "then the call needs a person again.",
        required=False,
        max_length=LONGEST_ID,
    )


class RightAccountIdForm(forms.Form):
    external_id = _make_right_id("The account's right id at the partner")
    reason = _make_note("Reason", "It is kept in the history with your name.")


class RightEnrollmentIdForm(forms.Form):
    external_id = _make_right_id("The enrollment's right id at the partner")
    reason = _make_note("Reason", "It is kept in the history with your name.")


class EventSearchForm(forms.Form):
    """What to look for among the messages of partners."""

    endpoint = forms.ChoiceField(label="Partner", required=False)
    status = forms.ChoiceField(
        label="Status",
        required=False,
        choices=[
            ("", "All"),
            ("needs_attention", "Needs a person"),
            ("waiting", "Waiting for its enrollment"),
            ("received", "Received"),
            ("applied", "Applied"),
            ("ignored", "Ignored"),
        ],
    )
    kind = forms.ChoiceField(
        label="What it says",
        required=False,
        choices=[
            ("", "All"),
            *MESSAGE_KINDS.items(),
        ],
    )
    event_id = forms.CharField(label="Event id", required=False, max_length=255)
    external_id = forms.CharField(
        label="Enrollment id at the partner", required=False, max_length=255
    )

    def __init__(self, *args: Any, partners: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", "All"), *partners.items()]
        self.fields["endpoint"] = forms.ChoiceField(
            label="Partner", required=False, choices=choices
        )
