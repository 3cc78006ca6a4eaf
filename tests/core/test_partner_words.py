import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.core.partner_words import LONGEST_WORDS, clean_words, read_words


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"message": "The course is closed."}', "The course is closed."),
        (b'{"error": {"type": "x", "message": "No such user"}}', "No such user"),
        (b'{"errors": {"email": ["has already been taken"]}}', "email: has already been taken"),
        (b'{"errors": [{"message": "a"}, {"message": "b"}]}', "a; b"),
        (b'{"error": "unknown_course", "message": "There is none."}', "There is none."),
        (b'"just a text"', "just a text"),
        (b'{"code": 7}', '{"code": 7}'),
        (b"plain\r\n text\x00\x1b[31m", "plain text [31m"),
        (b"<html><style>p{}</style><h1>502</h1><p>Bad  gateway</p></html>", "502 Bad gateway"),
        (b"", ""),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"[" * 100_000, "[" * 299 + "…"),
    ],
)
def test_the_partners_message_is_found(body: bytes, words: str) -> None:
    assert read_words(body) == words


def test_our_secrets_are_hidden_the_longer_first() -> None:
    words = clean_words("key k-12345 and k-1234567", secrets=["k-12345", "k-1234567"])
    assert words == "key [hidden] and [hidden]"


def test_an_empty_or_tiny_secret_does_not_shred_the_text() -> None:
    assert clean_words("a banana", secrets=["", "a"]) == "a banana"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "bad header Authorization: Bearer abc.def-123",
            "bad header Authorization: [hidden] [hidden]",
        ),
        ('{"temporaryPassword": "Welcome-1", "a": 1}', '{"temporaryPassword": [hidden], "a": 1}'),
        ('{"temporaryPassword":"a\\"b, c","a":1}', '{"temporaryPassword":[hidden],"a":1}'),
        ('{"temporaryPassword":"cut off in the mid', '{"temporaryPassword":[hidden]'),
        ("Temporary password: a]b}c;d,e&f, change it", "Temporary password: [hidden] change it"),
        (
            "The temporary password is Welcome-1, change it",
            "The temporary password is [hidden] change it",
        ),
        ("api_key=abc123&x=1", "api_key=[hidden]&x=1"),
        ("client_secret: 'a b c', more", "client_secret: [hidden], more"),
        (
            "see https://p.example.org/launch?token=abc#x now",
            "see https://p.example.org/launch now",
        ),
        ("the password is wrong", "the password is wrong"),
    ],
)
def test_secrets_of_the_partners_own_are_hidden(text: str, words: str) -> None:
    assert clean_words(text) == words


def test_text_that_turns_itself_around_is_made_plain() -> None:
    assert clean_words("a\u202eb\u200bc\u2028d") == "a b c d"


@given(st.text(max_size=2000), st.lists(st.text(min_size=4, max_size=20), max_size=3))
def test_words_are_short_storable_and_without_secrets(text: str, secrets: list[str]) -> None:
    words = clean_words(text, secrets=secrets)
    assert len(words) <= LONGEST_WORDS
    assert "\x00" not in words
    words.encode()


@given(st.text("0123456789abcdef", min_size=6, max_size=20), st.text(max_size=50))
def test_a_secret_anywhere_in_a_json_answer_is_hidden(secret: str, around: str) -> None:
    body = json.dumps({"message": f"{around} {secret} {around}"}).encode()
    assert secret not in read_words(body, secrets=[secret])


@pytest.mark.parametrize("part", ["pass", "<script", "secret=", "a" * 50, '{"message":'])
def test_hostile_text_takes_no_time(part: str) -> None:
    body = (part * 200_000)[:1_000_000].encode()
    start = time.process_time()
    read_words(body)
    assert time.process_time() - start < 0.5
