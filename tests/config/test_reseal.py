"""`handrail reseal-secrets`: every stored secret under the newest key, and what doctor says of it."""

import base64
import secrets
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from allauth.mfa.adapter import get_adapter
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.conf import settings

from handrail.config import reseal
from handrail.config.reseal import COLUMNS, Resealed, count_keys, reseal_secrets
from handrail.core.crypto import Keyring
from handrail.enrollments.promises import check_promises
from handrail.inbox.endpoints import locate_secret
from handrail.partners.providers import open_credentials, seal_credentials
from handrail.people.models import Profile
from tests.command_line import Said, handrail
from tests.databases import Database
from tests.factories import World

OLD = "first:" + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
NEW = "2027:" + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def read_keys(*texts: str) -> tuple[tuple[str, bytes], ...]:
    return tuple(
        (t.partition(":")[0], base64.urlsafe_b64decode(t.partition(":")[2])) for t in texts
    )


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    with closing(World(database)) as world:
        yield world


class Stored:
    """One of each secret, as the parts of Handrail that own them store them, under the old key."""

    def __init__(self, world: World) -> None:
        self.world = world
        keyring = Keyring(read_keys(OLD))
        organization = world.organization()
        self.provider = world.provider(organization).id
        sealed = seal_credentials(self.provider, {"api_key": "key-1"}, keyring)
        self.set("partner_lms_providers", self.provider, credentials=sealed)
        self.endpoint = world.insert(
            "webhook_endpoints",
            key="partner",
            kind="partner",
            organization_id=organization.id,
            provider_id=self.provider,
        )
        for column, value in (("secret", b"now"), ("previous_secret", b"before")):
            sealed = keyring.encrypt(value, place=locate_secret(self.endpoint, column))
            ends = {"previous_secret_ends_at": in_hours(1)} if column != "secret" else {}
            self.set("webhook_endpoints", self.endpoint, **{column: sealed}, **ends)
        self.profile = Profile.objects.get(id=world.profile())
        TOTP.activate(self.profile, "ABCDEFGH")
        RecoveryCodes.activate(self.profile)
        self.codes = self.read_codes()

    def set(self, table: str, id: UUID, **values: object) -> None:
        columns = ", ".join(f"{column} = %s" for column in values)
        self.world.admin.execute(
            f"update {table} set {columns} where id = %s".encode(), [*values.values(), id]
        )

    def read_codes(self) -> list[str]:
        codes = self.profile.authenticator_set.get(type="recovery_codes")
        return RecoveryCodes(codes).generate_codes()

    def opens_with(self, *keys: str) -> None:
        """Everything opens for its owner, with these keys."""
        keyring = Keyring(read_keys(*keys))
        ((sealed,),) = self.world.rows("select credentials from partner_lms_providers")
        assert open_credentials(self.provider, sealed, keyring) == {"api_key": "key-1"}
        for column, value in (("secret", b"now"), ("previous_secret", b"before")):
            ((sealed,),) = self.world.rows(f"select {column} from webhook_endpoints")
            assert keyring.decrypt(sealed, place=locate_secret(self.endpoint, column)) == value
        settings.HANDRAIL_SECRET_KEYS = read_keys(*keys)
        totp = self.profile.authenticator_set.get(type="totp")
        assert get_adapter().decrypt(totp.data["secret"]) == "ABCDEFGH"
        assert self.read_codes() == self.codes


def in_hours(hours: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


@pytest.fixture
def stored(world: World, monkeypatch: pytest.MonkeyPatch) -> Stored:
    monkeypatch.setattr(settings, "HANDRAIL_SECRET_KEYS", read_keys(OLD))
    return Stored(world)


def run(database: Database, command: str, *keys: str) -> Said:
    return handrail(database, command, HANDRAIL_SECRET_KEYS=",".join(keys))


def test_after_it_everything_opens_without_the_old_key(database: Database, stored: Stored) -> None:
    said = run(database, "reseal-secrets", NEW, OLD)

    assert (said.code, said.err) == (0, "")
    assert said.lines == ["Sealed anew with 2027: 5. So already: 0. Cannot be opened: 0."]
    stored.opens_with(NEW)
    again = run(database, "reseal-secrets", NEW, OLD)
    assert again.lines == ["Sealed anew with 2027: 0. So already: 5. Cannot be opened: 0."]


def test_what_cannot_be_opened_stays_and_is_told(database: Database, stored: Stored) -> None:
    before = stored.world.rows("select credentials from partner_lms_providers")
    said = run(database, "reseal-secrets", NEW)

    assert said.code == 1
    slug = stored.world.value("select slug from partner_lms_providers")
    assert said.lines[0] == (
        f"cannot be opened: provider {slug} (partner_lms_providers.credentials): "
        "the secret key 'first' is not configured"
    )
    assert said.lines[-2:] == [
        "Sealed anew with 2027: 0. So already: 0. Cannot be opened: 5.",
        (
            "Keys of what cannot be opened: first (5). Give a missing key back in HANDRAIL_SECRET_KEYS, "
            "behind the first, and repeat this; or enter those secrets again."
        ),
    ]
    assert f"second factor of profile {stored.profile.id}" in said.out
    assert stored.world.rows("select credentials from partner_lms_providers") == before
    stored.opens_with(OLD)


def test_a_copied_value_and_one_that_is_none_do_not_stop_the_others(
    database: Database, stored: Stored
) -> None:
    """A value of another row, whose key is there, must not be sealed for this one."""
    other = stored.world.provider(stored.world.organization()).id
    sealed = stored.world.value(
        "select credentials from partner_lms_providers where id = %s", stored.provider
    )
    stored.set("partner_lms_providers", other, credentials=sealed)
    stored.world.admin.execute(
        "update mfa_authenticator set data = '{\"secret\": \"in clear\"}' where type = 'totp'"
    )

    said = run(database, "reseal-secrets", NEW, OLD)

    assert said.code == 1
    assert "was altered or belongs to another row" in said.out
    assert "the stored value is not a sealed one" in said.out
    assert "Sealed anew with 2027: 4. So already: 0. Cannot be opened: 2." in said.lines
    assert "Keys of what cannot be opened: none (1), first (1)." in said.out


def test_what_was_done_stays_done_when_it_is_interrupted(
    database: Database, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reseal, "BATCH_ROWS", 2)
    for _ in range(6):
        organization = stored.world.organization()
        provider = stored.world.provider(organization).id
        sealed = seal_credentials(provider, {"a": "b"}, Keyring(read_keys(OLD)))
        stored.set("partner_lms_providers", provider, credentials=sealed)

    class Interrupting(Keyring):
        left = 5

        def reencrypt(self, sealed: bytes, **place: object) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return super().reencrypt(sealed, **place)  # type: ignore[arg-type]

    report = Resealed()
    with database.connect() as own:
        with pytest.raises(KeyboardInterrupt):
            reseal_secrets(own, Interrupting(read_keys(NEW, OLD)), report, tell=pytest.fail)
        assert report.resealed == 4
        assert count_keys(own) == {"2027": 4, "first": 7}
        rest = Resealed()
        reseal_secrets(own, Keyring(read_keys(NEW, OLD)), rest, tell=pytest.fail)
        assert (rest.resealed, rest.current) == (7, 4)
        assert count_keys(own) == {"2027": 11}


def test_it_waits_for_somebody_who_sets_a_secret_and_keeps_what_is_set(
    database: Database, stored: Stored
) -> None:
    newest = seal_credentials(stored.provider, {"api_key": "key-2"}, Keyring(read_keys(NEW, OLD)))
    with database.connect(autocommit=False) as setting, database.connect() as own:
        setting.execute("update partner_lms_providers set credentials = %s", [newest])
        own.execute("set lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            reseal_secrets(own, Keyring(read_keys(NEW, OLD)), Resealed(), tell=pytest.fail)
        setting.commit()
        report = Resealed()
        reseal_secrets(own, Keyring(read_keys(NEW, OLD)), report, tell=pytest.fail)
    assert (report.resealed, report.current) == (4, 1)


def test_a_secret_whose_time_is_over_is_dropped(database: Database, stored: Stored) -> None:
    """It could keep an old key alive for ever."""
    stored.set("webhook_endpoints", stored.endpoint, previous_secret_ends_at=in_hours(-1))

    said = run(database, "reseal-secrets", NEW, OLD)

    assert "Sealed anew with 2027: 4." in said.out
    assert stored.world.rows("select previous_secret from webhook_endpoints") == [(None,)]


def test_every_column_of_bytes_is_known_here(database: Database) -> None:
    """A new sealed column belongs into COLUMNS; one that is not sealed, below."""
    not_sealed = {
        ("credential_documents", "pdf"),
        ("pgqueuer", "payload"),
        ("webhook_event_conflicts", "body"),
        ("webhook_event_conflicts", "digest"),
        ("webhook_events", "body"),
        ("webhook_events", "digest"),
    }
    with database.connect("superuser") as admin:
        found = set(
            admin.execute(
                "select table_name, column_name from information_schema.columns "
                "where table_schema = 'public' and data_type = 'bytea'"
            )
        )
    assert found == not_sealed | {(c.table, c.column) for c in COLUMNS if not c.keys}


def test_doctor_tells_of_old_and_of_missing_keys(database: Database, stored: Stored) -> None:
    def ask(*keys: str) -> list[str]:
        return [line for line in run(database, "doctor", *keys).lines if "  secrets: " in line]

    assert ask(OLD) == ["ok     secrets: 5 sealed, with the newest key"]
    assert ask(NEW, OLD) == [
        (
            "WRONG  secrets: sealed: 5 with the key first, no longer the newest key. "
            "Mend: handrail reseal-secrets, before the old key is taken away"
        )
    ]
    assert ask(NEW) == [
        (
            "WRONG  secrets: sealed: 5 with the key first, which HANDRAIL_SECRET_KEYS does not have. "
            "Mend: give the key back behind the first one, or enter those secrets again"
        )
    ]


def test_doctor_opens_what_it_counts(database: Database, stored: Stored) -> None:
    """Another key of the same id, say of a restore without the keys of the backup."""
    other = "first:" + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    said = run(database, "doctor", other)

    assert [line for line in said.lines if "  secrets: " in line] == [
        (
            "WRONG  secrets: sealed: 5 with the key first, but not with the one that "
            "HANDRAIL_SECRET_KEYS has by that id. "
            "Mend: put the right key in its place, or enter those secrets again"
        )
    ]


def test_check_counts_second_factors_whose_key_is_missing(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_promises() == []
    monkeypatch.setattr(settings, "HANDRAIL_SECRET_KEYS", read_keys(NEW))
    ((secret,),) = [(each,) for each in check_promises()]
    assert (secret.promise, secret.count) == (10, 5)
    stored.world.admin.execute("delete from webhook_endpoints")
    stored.world.admin.execute("update partner_lms_providers set credentials = null")
    (secret,) = check_promises()
    assert secret.examples == (f"second factor of {stored.profile.id}",) * 2
