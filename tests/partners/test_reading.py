from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.partners.protocol import Unintelligible
from handrail.partners.reading import (
    read_date,
    read_flag,
    read_id,
    read_number,
    read_objects,
    read_optional_id,
    read_percent,
    read_text,
    read_time,
    read_url,
)


@pytest.mark.parametrize(
    ("value", "percent"),
    [
        (0, "0.00"),
        (0.0, "0.00"),
        (40, "40.00"),
        (33.3, "33.30"),
        (99.999, "99.99"),
        (100, "100.00"),
        (100.0, "100.00"),
        (Decimal("12.5"), "12.50"),
        (1e-300, "0.00"),
    ],
)
def test_a_percentage_is_kept_as_it_was_said(value: Any, percent: str) -> None:
    assert read_percent({"p": value}, "p") == Decimal(percent)


def test_absent_is_not_zero() -> None:
    assert read_percent({}, "p") is None
    assert read_percent({"p": None}, "p") is None
    assert read_percent({"p": 0}, "p") is not None


HUGE = 10**5000  # has no text: str() of it raises
NO_PERCENTAGES: list[Any] = [-1, -0.01, 100.01, 101, HUGE, -HUGE, True, False, "40", "", [], {}]
NO_NUMBERS = [float(text) for text in ("nan", "inf", "-inf")]
NO_DECIMALS = [Decimal(text) for text in ("NaN", "sNaN", "Infinity")]


def test_any_other_percentage_is_not_understood() -> None:
    for value in (*NO_PERCENTAGES, *NO_NUMBERS, *NO_DECIMALS):
        with pytest.raises(Unintelligible, match="p is"):
            read_percent({"p": value}, "p")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-05-28T20:26:40Z", datetime(2026, 5, 28, 20, 26, 40, tzinfo=UTC)),
        ("2026-05-28T20:26:40.500Z", datetime(2026, 5, 28, 20, 26, 40, 500_000, tzinfo=UTC)),
        ("2026-05-28T16:26:40-04:00", datetime(2026, 5, 28, 20, 26, 40, tzinfo=UTC)),
        ("2026-05-28 20:26:40", datetime(2026, 5, 28, 20, 26, 40, tzinfo=UTC)),
        ("2026-05-28T20:26", datetime(2026, 5, 28, 20, 26, tzinfo=UTC)),
        (" 2026-05-28 ", datetime(2026, 5, 28, tzinfo=UTC)),
        ("", None),
        (None, None),
    ],
)
def test_times_are_utc(value: Any, expected: datetime | None) -> None:
    found = read_time({"t": value}, "t")
    assert found == expected
    assert found is None or found.tzinfo is UTC


NO_TIMES = [
    "soon",
    "05/28/2026",
    "2026-02-30",
    "2026-05-28T25:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "1780000000",
    1780000000,
    True,
    [],
    "2026-05-28" + " " * 50,
]


@pytest.mark.parametrize("value", NO_TIMES)
def test_any_other_time_is_not_understood(value: Any) -> None:
    with pytest.raises(Unintelligible, match="t is no date"):
        read_time({"t": value}, "t")


def test_a_date_is_the_day_the_partner_writes() -> None:
    assert read_date({"d": "2026-05-28"}, "d") == date(2026, 5, 28)
    assert read_date({"d": "2026-05-28T23:30:00-04:00"}, "d") == date(2026, 5, 28)
    assert read_date({}, "d") is None


@pytest.mark.parametrize(
    ("value", "expected"), [("e-1", "e-1"), (7001, "7001"), (0, "0"), ("über 1/2", "über 1/2")]
)
def test_an_id_is_a_text_or_a_whole_number(value: Any, expected: str) -> None:
    assert read_id({"id": value}, "id") == expected


NO_IDS: list[Any] = [True, 1.0, [], {}, "x" * 201, "a\x00b", "a\nb", "\ud800", ".", "..", HUGE]


def test_any_other_id_is_not_understood() -> None:
    for value in NO_IDS:
        with pytest.raises(Unintelligible, match="id is no id"):
            read_optional_id({"id": value}, "id")


@pytest.mark.parametrize("data", [{}, {"id": None}, {"id": ""}])
def test_an_id_that_must_be_there(data: dict[str, Any]) -> None:
    assert read_optional_id(data, "id") == ""
    with pytest.raises(Unintelligible, match="id is missing"):
        read_id(data, "id")


def test_a_text_is_for_a_person() -> None:
    assert read_text({"t": " did not\x00pass\n"}, "t") == "did not pass"
    assert read_text({"t": "x" * 1000}, "t") == "x" * 299 + "…"
    assert read_text({"t": 12}, "t") == "12"
    unfit: list[Any] = [None, 1.5, True, [], {}, HUGE]
    for value in unfit:
        assert read_text({"t": value}, "t") == ""


@pytest.mark.parametrize("value", [None, 0, 1, "true", "", []])
def test_a_flag_is_true_or_false(value: Any) -> None:
    assert read_flag({"f": False}, "f") is False
    with pytest.raises(Unintelligible):
        read_flag({"f": value}, "f")


@pytest.mark.parametrize(
    "url", ["https://p.example.org/a?b=1#c", "http://127.0.0.1:9100/x", "HTTPS://[2606::1]?x=1"]
)
def test_web_addresses_pass(url: str) -> None:
    assert read_url({"u": url}, "u") == url


NO_LINKS = [
    "javascript:alert(1)",
    " https://p.example.org",
    "https://p.example.org/\n",
    "//p.example.org",
    "data:text/html,x",
    "https://",
    "https://a:b@p.example.org",
    "https://[",
    "ftp://p/",
    "https://p.example.org/" + "x" * 2000,
    "https://p.example.org/é",
    "HTTPS:/x",
    "https://p.example.org\\@evil.example.org",
    "https://[::1",
    "https://p.example.org:99999999/",
    5,
    None,
]


@pytest.mark.parametrize("url", NO_LINKS)
def test_what_must_not_become_a_link_does_not(url: Any) -> None:
    assert read_url({"u": url}, "u") == ""


def test_a_list_of_objects() -> None:
    unfit: list[Any] = [{}, [], None, {"results": None}, {"results": {}}, {"results": ["a"]}]
    assert read_objects({"results": []}, "results") == []
    assert read_objects({"results": [{"a": 1}]}, "results") == [{"a": 1}]
    for data in unfit:
        with pytest.raises(Unintelligible):
            read_objects(data, "results")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


READERS = [
    read_id,
    read_text,
    read_flag,
    read_number,
    read_percent,
    read_time,
    read_date,
    read_url,
]


@given(JSON)
def test_whatever_comes_reading_raises_one_error(value: Any) -> None:
    for read in READERS:
        with suppress(Unintelligible):
            read({"x": value}, "x")
