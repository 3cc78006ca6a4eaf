import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.core.crypto import (
    BadKeys,
    CannotDecrypt,
    Keyring,
    Place,
    equal_in_constant_time,
    read_key_id,
)

OLD = ("2025", b"o" * 32)
NEW = ("2026", b"n" * 32)
ALICE = Place("partner_lms_providers", "alice", "credentials")
CHARLIE = Place("partner_lms_providers", "charlie", "credentials")


@given(st.binary(max_size=500))
def test_what_is_sealed_opens_at_its_place(plain: bytes) -> None:
    keyring = Keyring([NEW])
    assert keyring.decrypt(keyring.encrypt(plain, place=ALICE), place=ALICE) == plain


def test_a_sealed_value_names_its_key_and_hides_the_rest() -> None:
    sealed = Keyring([NEW, OLD]).encrypt(b"api-key-of-alice", place=ALICE)
    assert sealed.startswith(b"2026:")
    assert read_key_id(sealed) == "2026"
    assert b"api-key" not in sealed


def test_the_same_secret_is_sealed_differently_each_time() -> None:
    keyring = Keyring([NEW])
    assert keyring.encrypt(b"x", place=ALICE) != keyring.encrypt(b"x", place=ALICE)


@pytest.mark.parametrize(
    "place",
    [
        CHARLIE,
        Place("webhook_endpoints", "alice", "credentials"),
        Place("partner_lms_providers", "alice", "secret"),
        Place("partner_lms_providersalice", "", "credentials"),
    ],
)
def test_a_value_moved_to_another_row_column_or_table_does_not_open(place: Place) -> None:
    keyring = Keyring([NEW])
    sealed = keyring.encrypt(b"secret of Alice", place=ALICE)
    with pytest.raises(CannotDecrypt, match="altered or belongs to another row"):
        keyring.decrypt(sealed, place=place)


@given(st.data())
def test_an_altered_or_cut_value_does_not_open(data: st.DataObject) -> None:
    keyring = Keyring([NEW])
    sealed = bytearray(keyring.encrypt(b"secret", place=ALICE))
    index = data.draw(st.integers(0, len(sealed) - 1))
    sealed[index] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CannotDecrypt):
        keyring.decrypt(bytes(sealed), place=ALICE)
    with pytest.raises(CannotDecrypt):
        keyring.decrypt(keyring.encrypt(b"secret", place=ALICE)[:index], place=ALICE)


def test_rotation_without_downtime() -> None:
    before, during, after = Keyring([OLD]), Keyring([NEW, OLD]), Keyring([NEW])
    sealed = before.encrypt(b"secret", place=ALICE)
    assert during.decrypt(sealed, place=ALICE) == b"secret"
    again = during.reencrypt(sealed, place=ALICE)
    assert read_key_id(again) == "2026"
    assert after.decrypt(again, place=ALICE) == b"secret"
    assert during.reencrypt(again, place=ALICE) == again
    with pytest.raises(CannotDecrypt, match="'2025' is not configured"):
        after.decrypt(sealed, place=ALICE)


def test_a_value_put_under_another_key_id_does_not_open() -> None:
    same_key_twice = Keyring([("a", b"k" * 32), ("b", b"k" * 32)])
    sealed = same_key_twice.encrypt(b"secret", place=ALICE)
    with pytest.raises(CannotDecrypt):
        same_key_twice.decrypt(b"b" + sealed[1:], place=ALICE)


@pytest.mark.parametrize("value", [b"", b"plain", b":x", b"\xff:x", b"a b:x", b"k" * 80 + b":x"])
def test_what_is_no_sealed_value_is_refused(value: bytes) -> None:
    with pytest.raises(CannotDecrypt, match="not a sealed one"):
        read_key_id(value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([], "no secret key is set"),
        ([("a:b", b"k" * 32)], "a key id has"),
        ([("", b"k" * 32)], "a key id has"),
        ([("a", b"k" * 16)], "has 16 bytes, not 32"),
        ([("a", b"k" * 32), ("a", b"l" * 32)], "is there twice"),
    ],
)
def test_unusable_keys_are_refused_without_showing_them(
    keys: list[tuple[str, bytes]], message: str
) -> None:
    with pytest.raises(BadKeys, match=message) as caught:
        Keyring(keys)
    assert "kkk" not in str(caught.value)


def test_a_keyring_shows_no_key() -> None:
    assert repr(Keyring([NEW, OLD])) == "<Keyring 2026, 2025>"


def test_secrets_are_compared_as_bytes_and_an_empty_one_equals_nothing() -> None:
    assert equal_in_constant_time("gehéim", "gehéim".encode())
    assert not equal_in_constant_time("gehéim", "geheim")
    assert not equal_in_constant_time("", b"")
