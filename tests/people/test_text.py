import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.people.text import clean_text, find_email_problem, find_text_problem, shorten


@pytest.mark.parametrize(
    "name",
    [
        "Siobhán O'Brien-Núñez",
        "王 小明",
        "محمد الأحمد",
        "Yılmaz",  # noqa: RUF001 - a name
        "Prince",
        '=HYPERLINK("http://example.org")',
        "<b>Bold</b>",
        "நிலா",
        "می\u200cنا",  # noqa: RUF001 - with a zero-width non-joiner, which Persian needs
    ],
)
def test_names_come_through_as_they_are(name: str) -> None:
    assert clean_text(name) == name
    assert find_text_problem(name) == ""


def test_space_around_and_double_space_inside_goes() -> None:
    assert clean_text("  Ana\u00a0 María \n López\t") == "Ana María López"


def test_an_accent_typed_apart_is_the_same_name() -> None:
    assert clean_text(unicodedata.normalize("NFD", "Núñez")) == "Núñez"


def test_no_name_shows_as_another() -> None:
    assert clean_text("Ana \u202egnp\u202c") == "Ana gnp"
    assert clean_text("\u2067\u0645\u062d\u0645\u062f\u2069") == "\u0645\u062d\u0645\u062f"


@given(st.text())
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    assert clean_text(clean_text(text)) == clean_text(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a\0b", "holds a control character"),
        ("a\x1bb", "holds a control character"),
        ("\u200d", "holds nothing that can be seen"),
        ("-", ""),
        ("", ""),
        ("x" * 201, "is longer than 200 characters"),
        ("x" * 200, ""),
    ],
)
def test_what_cannot_be_stored_is_said(text: str, problem: str) -> None:
    assert find_text_problem(text) == problem


@pytest.mark.parametrize(
    "email", ["ana.lopez@example.org", "o'brien+x@mail.example", "ana@münchen.de"]
)
def test_addresses_that_can_be_used(email: str) -> None:
    assert find_email_problem(email) == ""


@pytest.mark.parametrize(
    "email",
    [
        "ben.at.example.org",
        "ben@",
        "@example.org",
        "ben@example",
        "ben@example.org\nBcc: all@example.org",
        "ben @example.org",
        "\u212aim@example.org",  # the Kelvin sign: its small letter is an ordinary k
        f"{'x' * 250}@example.org",
    ],
)
def test_addresses_that_cannot(email: str) -> None:
    assert find_email_problem(email).endswith(
        ("is not an e-mail address", "is not an e-mail address that can be used")
    )


def test_a_long_text_is_shortened_for_a_message() -> None:
    assert shorten("x" * 61) == "x" * 59 + "…"
    assert shorten("x" * 60) == "x" * 60
