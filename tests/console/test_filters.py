"""What the templates of the console make of values."""

import pytest

from handrail.console.templatetags.console import (
    break_at,
    detail,
    headline,
    message_kind,
    tell_refusal,
)


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


@pytest.mark.parametrize(
    ("cause", "short", "rest"),
    [
        ("422: SS-ALC is no course.", "The partner refused (422)", "SS-ALC is no course."),
        ("The partner ended it before it was done.", "The partner ended it before it was done", ""),
        ("It is two messages. The first counts.", "It is two messages", "The first counts."),
        ("the partner has no address yet", "The partner has no address yet", ""),
        (
            "It was refused: see https://a.example. Ask.",
            "It was refused",
            "See https://a.example. Ask.",
        ),
        ("", "", ""),
    ],
)
def test_a_cause_has_a_headline_and_the_rest(cause: str, short: str, rest: str) -> None:
    assert (headline(cause), detail(cause)) == (short, rest)


def test_a_message_can_say_several_things() -> None:
    assert message_kind("course.completed certificate.issued") == "Completed, Certificate"
    assert message_kind("something.new") == "something.new"
    assert message_kind("") == ""


def test_an_address_is_broken_before_its_domain_and_escaped() -> None:
    assert break_at("ada@example.org") == "ada@<wbr>example.org"
    assert break_at("<b>@example.org") == "&lt;b&gt;@<wbr>example.org"
    assert break_at("none") == "<wbr>none"
