"""The frame and the parts of pages, rendered as any page renders them."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django import forms
from django.contrib import messages
from django.contrib.messages.storage.base import Message
from django.template import Context, Engine, Template
from django.template.loader import render_to_string
from django.test import Client

import handrail
from handrail.core.templatetags.pages import STATUSES
from tests.core.html import Page

SOURCE = Path(handrail.__file__).parent
STATIC = SOURCE / "core" / "static"
TEMPLATES = sorted(SOURCE.glob("*/templates/**/*.html"))
HOSTILE = "<script>alert(1)</script>\"'"


def render(source: str, **context: Any) -> Page:
    return Page(Template(source).render(Context(context)))


def render_part(source: str, **context: Any) -> Page:
    return render("{% load pages %}" + source, **context)


class Evidence(forms.Form):
    learner = forms.CharField(help_text="As it stands on the certificate.")
    note = forms.CharField(widget=forms.Textarea, required=False)
    result = forms.ChoiceField(
        choices=[("completed", "Completed"), ("failed", "Failed")],
        widget=forms.RadioSelect,
        help_text="What the partner told you.",
    )
    parts = forms.MultipleChoiceField(choices=[("a", "A")], widget=forms.CheckboxSelectMultiple)
    course = forms.ChoiceField(choices=[("x", "X")])
    secret = forms.CharField(widget=forms.PasswordInput(attrs={"placeholder": "Secret"}))
    seen = forms.BooleanField(label="I have seen the evidence", help_text="The partner's page.")
    step = forms.CharField(widget=forms.HiddenInput, initial="7")
    file = forms.FileField(required=False)


# ------------------------------------------------------------------------------ vendored files


def test_everything_the_styles_point_at_is_there() -> None:
    folder = STATIC / "uswds" / "css"
    assets = re.findall(r"url\((\.\./[^)]+)\)", (folder / "uswds.min.css").read_text())
    assert assets
    assert [asset for asset in assets if not (folder / asset).resolve().is_file()] == []


def test_every_icon_that_a_template_or_a_status_names_is_in_the_sprite() -> None:
    sprite = (STATIC / "uswds" / "img" / "sprite.svg").read_text()
    drawn = set(re.findall(r'<symbol[^>]* id="([^"]+)"', sprite))
    named = {status.icon for status in STATUSES.values()} | {"help", "info_outline"}
    for template in TEMPLATES:
        named |= set(re.findall(r'{% icon "([^"]+)"', template.read_text()))
    assert named - drawn == set()


def test_vendored_files_keep_their_licenses() -> None:
    for license_file in ("uswds/LICENSE.txt", "uswds/fonts/OFL.txt", "htmx/LICENSE"):
        assert (STATIC / license_file).stat().st_size > 500


# ------------------------------------------------------------- what the policy of content forbids


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_template_has_no_inline_script_or_style(path: Path) -> None:
    text = re.sub(r"{%.*?%}", "", path.read_text())
    scripts = re.findall(r"<script\b[^>]*>", text)
    assert [tag for tag in scripts if "src=" not in tag and "application/json" not in tag] == []
    assert re.findall(r"<style\b|\sstyle=|\son[a-z]+=|javascript:", text) == []


# ---------------------------------------------------------------------------------- the frame


def test_page_without_any_context_names_handrail_and_offers_sign_in() -> None:
    page = render('{% extends "base.html" %}')
    assert page.one("html").attributes["lang"] == "en"
    assert page.one("title").text == "· Handrail"
    assert [link.text for link in page.all("a")] == ["Skip to main content", "Handrail", "Sign in"]
    assert page.find_faults() == []


def test_navigation_marks_where_one_is_and_counts_what_waits() -> None:
    nav = [
        {"label": "Pipeline", "url": "/admin/pipeline", "current": True},
        {"label": "Needs a person", "url": "/admin/attention", "count": 3},
        {"label": "Events", "url": "/admin/events", "count": 0},
    ]
    page = render('{% extends "base.html" %}', nav=nav, organization_name=HOSTILE)
    links = page.all("a", class_="hr-nav__link")
    assert [link.text for link in links] == ["Pipeline", "Needs a person 3", "Events"]
    assert [link.attributes.get("aria-current") for link in links] == ["page", None, None]
    assert page.one("bdi").text == HOSTILE


def test_title_says_that_a_form_has_errors() -> None:
    form = Evidence({})
    page = render('{% extends "base.html" %}{% block head_title %}Mark{% endblock %}', form=form)
    assert page.one("title").text == "Error: Mark · Handrail"


def test_messages_interrupt_only_when_something_went_wrong() -> None:
    told = [Message(messages.SUCCESS, "Saved."), Message(messages.ERROR, HOSTILE)]
    page = render('{% extends "base.html" %}', messages=told)
    assert [element.text for element in page.all("div", role="status")] == ["Saved."]
    assert [element.text for element in page.all("div", role="alert")] == [HOSTILE]


# ----------------------------------------------------------------------------------- forms


def test_empty_form_labels_every_field_and_ties_hints() -> None:
    page = render_part('{% include "core/form.html" %}', form=Evidence())
    assert page.find_faults() == []
    assert (
        page.one("input", id="id_learner").attributes["aria-describedby"] == "id_learner_helptext"
    )
    assert (
        page.one("fieldset", id="id_result").attributes["aria-describedby"] == "id_result_helptext"
    )
    assert page.one("input", id="id_step").attributes["value"] == "7"
    assert page.one("label", **{"for": "id_note"}).text == "Note (optional)"
    assert "placeholder" not in page.one("input", id="id_secret").attributes
    assert page.all("div", role="alert") == []


def test_widgets_look_like_uswds() -> None:
    page = render_part('{% include "core/form.html" %}', form=Evidence())
    assert {
        element.attributes["name"]: element.attributes["class"]
        for element in page.elements
        if element.tag in {"input", "select", "textarea"} and "class" in element.attributes
    } == {
        "learner": "usa-input",
        "note": "usa-textarea",
        "result": "usa-radio__input",
        "parts": "usa-checkbox__input",
        "course": "usa-select",
        "secret": "usa-input",
        "seen": "usa-checkbox__input",
        "file": "usa-file-input",
    }


def test_errors_are_summed_up_linked_and_tied_to_their_fields() -> None:
    form = Evidence({"learner": "", "course": "x", "step": ""})
    form.add_error(None, HOSTILE)
    page = render_part('{% include "core/form.html" %}', form=form)
    summary = page.one("div", role="alert")
    assert HOSTILE in summary.text
    links = [link.attributes["href"] for link in page.all("a", class_="usa-link")]
    assert links == ["#id_learner", "#id_result", "#id_parts", "#id_secret", "#id_seen"]
    assert "Step: This field is required." in summary.text
    learner = page.one("input", id="id_learner").attributes
    assert learner["aria-invalid"] == "true"
    assert learner["aria-describedby"] == "id_learner_helptext id_learner_error"
    assert learner["class"] == "usa-input usa-input--error"
    assert page.find_faults() == []


def test_form_shown_twice_keeps_its_classes_once() -> None:
    form = Evidence()
    field = '{% include "core/field.html" with field=form.learner %}'
    render_part(field, form=form)
    page = render_part(field, form=form)
    assert page.one("input").attributes["class"] == "usa-input"


def test_own_class_of_a_widget_stays() -> None:
    form = Evidence()
    form.fields["note"].widget.attrs["class"] = "wide"
    page = render_part('{% include "core/field.html" with field=form.note %}', form=form)
    assert page.one("textarea").attributes["class"] == "usa-textarea wide"


# ----------------------------------------------------------------------------------- parts


def test_status_has_words_and_an_icon() -> None:
    page = render_part('{% status_tag "needs_attention" %}')
    assert page.one("span").text == "Needs a person"
    assert page.one("use").attributes["href"].endswith("#warning")
    assert page.one("svg").attributes["aria-hidden"] == "true"


def test_status_takes_other_words_and_escapes_them() -> None:
    assert (
        render_part("{% status_tag 'completed' words %}", words=HOSTILE).one("span").text == HOSTILE
    )


def test_status_that_nobody_described_still_reads() -> None:
    assert render_part('{% status_tag "on_the_moon" %}').one("span").text == "On the moon"


def test_every_status_of_the_database_is_described() -> None:
    quoted = re.compile(r"check\s*\(\s*(?:\w+_)?status\s+in\s*\(([^)]*)\)", re.IGNORECASE)
    known: set[str] = set()
    for path in SOURCE.glob("*/sql/*.sql"):
        for values in quoted.findall(path.read_text()):
            known |= set(re.findall(r"'([a-z_]+)'", values))
    assert known - set(STATUSES) == set()


def test_icon_with_a_label_speaks() -> None:
    page = render_part('{% icon "lock" label %}', label=HOSTILE)
    assert page.one("svg").attributes == {
        "class": "usa-icon",
        "focusable": "false",
        "role": "img",
        "aria-label": HOSTILE,
    }


@pytest.mark.parametrize(
    ("percent", "shown"),
    [(0, "0"), (Decimal("33.40"), "33"), (100, "100"), (Decimal("1E2"), "100")],
)
def test_progress_is_a_number_a_browser_reads(percent: object, shown: str) -> None:
    page = render_part(
        '{% include "core/progress.html" with label=label text="2 of 5 steps" %}',
        percent=percent,
        label=HOSTILE,
    )
    bar = page.one("progress").attributes
    assert (bar["value"], bar["max"], bar["aria-label"]) == (shown, "100", HOSTILE)
    assert page.one("span").text == "2 of 5 steps"


@pytest.mark.parametrize(
    ("previous_url", "next_url", "links"),
    [
        ("", "", []),
        ("?before=a&x=1", "", [("Previous", "?before=a&x=1")]),
        ("", "?after=b", [("Next", "?after=b")]),
        ("?before=a", "?after=b", [("Previous", "?before=a"), ("Next", "?after=b")]),
    ],
)
def test_pages_of_a_list(previous_url: str, next_url: str, links: list[tuple[str, str]]) -> None:
    page = render_part(
        '{% include "core/pagination.html" with label="Students" %}',
        previous_url=previous_url,
        next_url=next_url,
    )
    assert [(link.text, link.attributes["href"]) for link in page.all("a")] == links
    assert len(page.all("nav")) == bool(links)


def test_empty_list_says_why_and_what_next() -> None:
    page = render_part(
        '{% include "core/empty.html" with title="No students" text="Import a roster." '
        'action_url="/admin/import" action_label="Import" level=3 %}'
    )
    assert (page.one("h3").text, page.one("p").text) == ("No students", "Import a roster.")
    assert page.one("a").attributes["href"] == "/admin/import"


def test_alert_without_a_title_is_slim() -> None:
    page = render_part('{% include "core/alert.html" with tone="info" text=text %}', text=HOSTILE)
    assert page.elements[0].attributes["class"] == "usa-alert usa-alert--info usa-alert--slim"
    assert page.one("p").text == HOSTILE


# ------------------------------------------------------------------------------ error pages

ERROR_PAGES = ("400", "403", "403_csrf", "404", "500", "503")


@pytest.mark.parametrize("name", ERROR_PAGES)
def test_error_page_renders_from_nothing(name: str) -> None:
    page = Page(render_to_string(f"{name}.html"))
    assert page.one("title").text == f"{page.one('h1').text} · Handrail"
    assert len(page.all("p")) >= 2
    assert page.find_faults() == []


def test_unknown_address_is_answered_in_plain_words(client: Client) -> None:
    client.cookies["session"] = "a-session-that-must-not-be-looked-up"
    response = client.get("/no/such/page")  # without a database: a query would fail this test
    assert response.status_code == 404
    assert Page(response.content.decode()).one("h1").text == "We did not find that page"


def test_all_templates_compile() -> None:
    engine = Engine.get_default()
    for path in TEMPLATES:
        engine.get_template(
            path.relative_to(
                path.parents[len(path.parts) - path.parts.index("templates") - 2]
            ).as_posix()
        )
