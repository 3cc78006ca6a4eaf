"""What the templates of the console make of values."""

import pytest

from handrail.console.templatetags.console import break_at, message_kind, tell_refusal


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("422: SS-ALC is no course.", "The partner refused (422): SS-ALC is no course."),
        ("The partner allows one enrollment.", "The partner allows one enrollment."),
        ("4225: a name", "4225: a name"),
    ],
)
def test_a_refusal_is_told_as_one(cause: str, words: str) -> None:
    assert tell_refusal(cause) == words


def test_a_message_can_say_several_things() -> None:
    assert message_kind("course.completed certificate.issued") == "Completed, Certificate"
    assert message_kind("something.new") == "something.new"
    assert message_kind("") == ""


def test_an_address_is_broken_before_its_domain_and_escaped() -> None:
    assert break_at("ada@example.org") == "ada@<wbr>example.org"
    assert break_at("<b>@example.org") == "&lt;b&gt;@<wbr>example.org"
    assert break_at("none") == "<wbr>none"
