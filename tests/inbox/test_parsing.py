"""Bytes that anybody may send: read exactly, or refused with a reason."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.inbox.parsing import Unreadable, parse_message

REFUSED = [
    (b"", "the text is not JSON: Expecting value (line 1, column 1)"),
    (b"hello", "the text is not JSON: Expecting value (line 1, column 1)"),
    (b"{'a': 1}", "the text is not JSON"),
    (b'{"a": 1,}', "the text is not JSON"),
    (b'{"a": 01}', "the text is not JSON"),
    (b'{"a": 1} {"b": 2}', "the text is not JSON: Extra data (line 1, column 10)"),
    (b'{"a": 1', "the text is not JSON"),
    (b'{"a": "\n"}', "the text is not JSON"),
    (b'{"a": "\0"}', "the text is not JSON"),
    (b'{"a": "\xff"}', "the text is not UTF-8 (byte 7)"),
    (b'{"a": "\xed\xa0\x80"}', "the text is not UTF-8 (byte 7)"),
    ('{"a": 1}'.encode("utf-16"), "the text is not UTF-8 (byte 0)"),
    (b"[]", "the JSON is not an object"),
    (b"null", "the JSON is not an object"),
    (b'"text"', "the JSON is not an object"),
    (b"17", "the JSON is not an object"),
    (b"[" * 100_000, "the JSON is nested too deep"),
    (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "the JSON is nested too deep"),
    (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the name 'c' is there twice in one object"),
    (b'{"a": 1, "\\u0061": 2}', "the name 'a' is there twice in one object"),
    (b'{"a": NaN}', "NaN is not a number in JSON"),
    (b'{"a": Infinity}', "Infinity is not a number in JSON"),
    (b'{"a": -Infinity}', "-Infinity is not a number in JSON"),
    (b'{"a": 1e999}', "a number is too large"),
    (b'{"a": -1e999}', "a number is too large"),
    (b'{"a": 1234567890123456789}', "a whole number has more than 18 digits"),
    (b'{"a": ' + b"9" * 100_000 + b"}", "a whole number has more than 18 digits"),
    (b'{"a": "\\u0000"}', "a text holds a NUL character"),
    (b'{"\\u0000": 1}', "a text holds a NUL character"),
    (b'{"a": [["x", {"b": "y\\u0000"}]]}', "a text holds a NUL character"),
    (b'{"a": "\\ud800"}', "a text holds half a surrogate pair"),
    (b'{"a": "\\udc00\\ud800"}', "a text holds half a surrogate pair"),
    (b'{"\\udfff": 1}', "a text holds half a surrogate pair"),
]


@pytest.mark.parametrize(("body", "reason"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_kept_exactly_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(Unreadable) as refusal:
        parse_message(body)

    assert str(refusal.value).startswith(reason)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", {}),
        (b"\xef\xbb\xbf{}", {}),
        (b' \r\n{"a" : [1, -2.5, 1E2, true, false, null, ""]}\t', {"a": [1, -2.5, 100.0, True, False, None, ""]}),
        (b'{"a": 123456789012345678, "b": -99999999999999999}', {"a": 123456789012345678, "b": -99999999999999999}),
        ('{"name": "Ānà 李 😀"}'.encode(), {"name": "Ānà 李 😀"}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
        (b'{"a": "\\\\u0000"}', {"a": "\\u0000"}),
        (b'{"a": {"b": 1}, "c": {"b": 2}}', {"a": {"b": 1}, "c": {"b": 2}}),
    ],
)  # fmt: skip
def test_what_is_json_is_read(body: bytes, message: dict[str, Any]) -> None:
    assert parse_message(body) == message


texts = st.text('a"\\\n\x7fäā李😀\ufeff', max_size=6)
numbers = st.integers(-(10**18) + 1, 10**18 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(message=st.dictionaries(texts, values, max_size=3), ascii_only=st.booleans())
def test_any_object_comes_back_as_it_was(*, message: dict[str, Any], ascii_only: bool) -> None:
    assert parse_message(json.dumps(message, ensure_ascii=ascii_only).encode()) == message


@given(st.binary() | st.text('{}[]",:\\u0dfNaI1e.- ').map(str.encode))
def test_no_bytes_make_it_fail_otherwise(body: bytes) -> None:
    try:
        message = parse_message(body)
    except Unreadable:
        return
    assert json.dumps(message, ensure_ascii=False, allow_nan=False).encode()
