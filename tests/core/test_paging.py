"""Pages of lists by key: every row once, in order, both ways, whatever the keys hold."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handrail.core.paging import BadPlace, Keyset, Page


class Row(NamedTuple):
    name: str
    number: str


QUERY = """
select name, number from unnest(%(names)s::text[], %(numbers)s::text[]) as t (name, number)
where {place} order by {order} limit %(limit)s
"""


def fetch(keyset: Keyset, rows: Sequence[Row], place: str, limit: int) -> Page[Row]:
    return keyset.fetch(
        QUERY,
        {"names": [row.name for row in rows], "numbers": [row.number for row in rows]},
        make=Row,
        key=lambda row: row,
        place=place,
        limit=limit,
    )


words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)


@pytest.mark.django_db
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.builds(Row, words, words), unique=True, max_size=12),
    limit=st.integers(1, 5),
    newest_first=st.booleans(),
)
def test_leafing_shows_each_row_once_both_ways(
    rows: list[Row],
    limit: int,
    newest_first: bool,  # noqa: FBT001
) -> None:
    keyset = Keyset(columns={"name": "text", "number": "text"}, newest_first=newest_first)
    pages = [fetch(keyset, rows, "", limit)]
    while pages[-1].next:
        pages.append(fetch(keyset, rows, pages[-1].next, limit))
    back = [pages[-1]]
    while back[-1].previous:
        back.append(fetch(keyset, rows, back[-1].previous, limit))
    forward = [row for page in pages for row in page.rows]
    backward = [row for page in reversed(back) for row in page.rows]

    assert sorted(forward) == sorted(rows)
    assert [len(page.rows) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert backward == forward
    assert pages[0].previous == pages[-1].next == ""


@pytest.mark.parametrize(
    "place",
    ["x", "é", "W10", "WyJhIl0", "WyJ4IiwiYSIsImIiXQ", "WyJhIiwiYSIsMV0", "[" * 9000, "bnVsbA"],
)
def test_a_place_that_no_page_gave(place: str) -> None:
    keyset = Keyset(columns={"name": "text", "number": "text"})
    with pytest.raises(BadPlace):
        fetch(keyset, [], place, 5)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uuid", "x"),
        ("timestamptz", "yesterday"),
        ("text", "\0"),
        ("bigint", "one"),
        ("bigint", str(2**63)),
    ],
)
def test_a_key_of_another_kind(kind: str, value: str) -> None:
    keyset = Keyset(columns={"name": kind})
    place = keyset._encode("a", [value])
    with pytest.raises(BadPlace):
        keyset.fetch("", {}, make=Row, key=lambda row: row, place=place, limit=1)
