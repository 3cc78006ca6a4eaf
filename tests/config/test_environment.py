"""What the environment of a process may say, and what is told when it may not."""

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from handrail.config.environment import (
    DatabaseRole,
    read_admin_access,
    read_all_passwords,
    read_environment,
)
from handrail.config.errors import ConfigurationError
from handrail.config.parsing import format_host_port, parse_host_port

KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
WORKER = {
    "HANDRAIL_DATABASE_URL": "postgresql://db.example.org:5433/handrail?sslmode=require",
    "HANDRAIL_DATABASE_PASSWORD_WORKER": "w0rker's password",
    "HANDRAIL_SECRET_KEYS": f"second:{KEY},first:{KEY}",
    "HANDRAIL_DJANGO_SECRET_KEYS": f"{'n' * 50}, {'o' * 50}",
    "HANDRAIL_BASE_URL": "https://handrail.example.org/",
    "HANDRAIL_MAIL_URL": "smtp://alice:pa%20ss@mail.example.org:587",
}


def problems_of(**changes: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        read_environment(WORKER | changes)
    return caught.value.problems


def test_a_whole_environment_is_read() -> None:
    environment = read_environment(
        WORKER
        | {
            "HANDRAIL_BIND": "[::1]:9000",
            "HANDRAIL_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.7",
            "HANDRAIL_ALLOWED_PRIVATE_HOSTS": "127.0.0.1:9100,localhost:25",
            "HANDRAIL_RETRY_BASE_SECONDS": "0.5",
            "HANDRAIL_SANDBOX": "on",
            "HANDRAIL_SERVICE_TOKEN": "t" * 32,
        }
    )

    assert environment.process_role is DatabaseRole.WORKER
    assert environment.secret_keys == (("second", bytes(range(32))), ("first", bytes(range(32))))
    assert environment.django_secret_keys == ("n" * 50, "o" * 50)
    assert environment.base_url == "https://handrail.example.org"
    assert environment.bind == ("::1", 9000)
    assert environment.trusted_proxies == ("10.0.0.0/8", "192.0.2.7")
    assert environment.allowed_private_hosts == {("127.0.0.1", 9100), ("localhost", 25)}
    assert (environment.retry_base_seconds, environment.retry_max_seconds) == (0.5, 3600)
    assert environment.sandbox
    assert not environment.debug


@pytest.mark.parametrize("text", ["127.0.0.1:80", "db.example.org:5432", "[::1]:8000"])
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    assert format_host_port(parse_host_port(text)) == text


def test_rhythms_have_the_documented_defaults() -> None:
    environment = read_environment(WORKER)

    assert environment.retry_base_seconds == 5
    assert environment.retry_max_seconds == 3600
    assert environment.call_timeout_seconds == 30
    assert environment.reconcile_seconds == 900
    assert environment.waiting_hours == 24
    assert environment.bind == ("127.0.0.1", 8000)


def test_the_connection_string_has_role_and_password() -> None:
    assert conninfo_to_dict(read_environment(WORKER).database_dsn()) == {
        "host": "db.example.org",
        "port": "5433",
        "dbname": "handrail",
        "sslmode": "require",
        "user": "handrail_worker",
        "password": "w0rker's password",
    }


def test_a_password_that_this_process_was_not_given_is_named() -> None:
    with pytest.raises(ConfigurationError, match="HANDRAIL_DATABASE_PASSWORD_OWNER is not set"):
        read_environment(WORKER).database_dsn(DatabaseRole.OWNER)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_environment({"HANDRAIL_PROCESS_ROLE": "web", "HANDRAIL_WAITING_HOURS": "soon"})

    assert caught.value.problems == (
        "HANDRAIL_DATABASE_URL is not set.",
        "HANDRAIL_DATABASE_PASSWORD_WEB is not set.",
        "HANDRAIL_DATABASE_PASSWORD_INGRESS is not set.",
        "HANDRAIL_SECRET_KEYS is not set.",
        "HANDRAIL_DJANGO_SECRET_KEYS is not set.",
        "HANDRAIL_BASE_URL is not set.",
        "HANDRAIL_MAIL_URL is not set.",
        "HANDRAIL_WAITING_HOURS is 'soon', but must be a number greater than 0 and at most 1000000.",
    )


def test_the_owner_needs_no_key() -> None:
    environment = read_environment(
        {
            "HANDRAIL_PROCESS_ROLE": "owner",
            "HANDRAIL_DATABASE_URL": "postgresql:///handrail?host=/run/handrail",
            "HANDRAIL_DATABASE_PASSWORD_OWNER": "secret",
        }
    )

    assert environment.secret_keys == ()
    assert conninfo_to_dict(environment.database_dsn())["user"] == "handrail_owner"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HANDRAIL_PROCESS_ROLE", "root", "must be web, worker, owner or readonly"),
        ("HANDRAIL_PROCESS_ROLE", "ingress", "must be web, worker, owner or readonly"),
        ("HANDRAIL_DEBUG", "maybe", "must be on or off"),
        ("HANDRAIL_DATABASE_URL", "mysql://db/handrail", "must begin with postgresql://"),
        ("HANDRAIL_DATABASE_URL", "postgresql://db/", "does not name a database"),
        ("HANDRAIL_DATABASE_URL", "postgresql://bob@db/handrail", "must not hold a user"),
        ("HANDRAIL_DATABASE_URL", "postgresql://db/handrail?nonsense=1", "is not a PostgreSQL"),
        ("HANDRAIL_DATABASE_ADMIN_URL", "postgresql://db/postgres", "does not name a user"),
        ("HANDRAIL_SECRET_KEYS", "first", "has a bad entry at place 1"),
        ("HANDRAIL_SECRET_KEYS", f"first:{KEY},second:c2hvcnQ=", "has a bad entry at place 2"),
        ("HANDRAIL_SECRET_KEYS", f"first:{KEY},first:{KEY}", "has a bad entry at place 2"),
        ("HANDRAIL_SECRET_KEYS", "first:!!!", "has a bad entry at place 1"),
        ("HANDRAIL_SECRET_KEYS", ",", "holds no key: each is id:key"),
        ("HANDRAIL_DJANGO_SECRET_KEYS", "short", "fewer than 50 characters"),
        ("HANDRAIL_DJANGO_SECRET_KEYS", " , ,", "holds no key"),
        ("HANDRAIL_BASE_URL", "handrail.example.org", "must be like https://"),
        ("HANDRAIL_BASE_URL", "http://handrail.example.org", "must begin with https://"),
        ("HANDRAIL_BASE_URL", "https://example.org/handrail", "must not have a path"),
        ("HANDRAIL_BASE_URL", "https://example.org:notaport", "must be like https://"),
        ("HANDRAIL_BASE_URL", "https://example.org:99999999", "must be like https://"),
        ("HANDRAIL_BASE_URL", "https://exa mple.org", "must be like https://"),
        ("HANDRAIL_BASE_URL", "https://[::1", "must be like https://"),
        ("HANDRAIL_BASE_URL", "https://alice@example.org", "must be like https://"),
        ("HANDRAIL_MAIL_URL", "mail.example.org", "must be smtp://"),
        ("HANDRAIL_MAIL_URL", "smtp://mail.example.org:port", "must be smtp://"),
        ("HANDRAIL_MAIL_URL", "file://var/mail", "must be smtp://"),
        ("HANDRAIL_BIND", "8000", "must be host:port"),
        ("HANDRAIL_BIND", "localhost:99999", "must be host:port"),
        ("HANDRAIL_BIND", "[::1:80", "must be host:port"),
        ("HANDRAIL_BIND", "local host:80", "must be host:port"),
        ("HANDRAIL_BIND", "localhost:80?", "must be host:port"),
        ("HANDRAIL_TRUSTED_PROXIES", "proxy.example.org", "each entry is an address or network"),
        ("HANDRAIL_ALLOWED_PRIVATE_HOSTS", "localhost", "must be host:port"),
        ("HANDRAIL_SERVICE_TOKEN", "short", "shorter than 32 characters"),
        ("HANDRAIL_RETRY_BASE_SECONDS", "0", "a number greater than 0"),
        ("HANDRAIL_RETRY_MAX_SECONDS", "inf", "a number greater than 0"),
        ("HANDRAIL_CALL_TIMEOUT_SECONDS", "nan", "a number greater than 0"),
        ("HANDRAIL_RECONCILE_SECONDS", "-1", "a number greater than 0"),
        ("HANDRAIL_WAITING_HOURS", "1e8", "a number greater than 0 and at most 1000000"),
    ],
)
def test_a_bad_value_is_told_with_its_name_and_what_is_right(
    name: str, value: str, words: str
) -> None:
    (problem,) = problems_of(**{name: value})

    assert problem.startswith(name)
    assert words in problem


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_plain_http_is_for_this_machine(host: str) -> None:
    environment = read_environment(WORKER | {"HANDRAIL_BASE_URL": f"http://{host}:8000"})

    assert environment.base_url == f"http://{host}:8000"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
@example("][")
@example("[")
def test_no_message_repeats_a_secret(secret: str) -> None:
    marked = f"SeCrEt{secret}SeCrEt"
    changes = {
        "HANDRAIL_DATABASE_URL": f"postgresql://alice:{marked}@db/handrail",
        "HANDRAIL_DATABASE_ADMIN_URL": f"postgresql://{marked}",
        "HANDRAIL_SECRET_KEYS": marked,
        "HANDRAIL_DJANGO_SECRET_KEYS": f"{marked[:30]}",
        "HANDRAIL_SERVICE_TOKEN": marked[:20],
        "HANDRAIL_MAIL_URL": f"imap://alice:{marked}@mail",
    }
    with pytest.raises(ConfigurationError) as caught:
        read_environment(WORKER | changes)

    assert "SeCrEt" not in str(caught.value)


def test_repr_shows_no_secret() -> None:
    text = repr(read_environment(WORKER | {"HANDRAIL_SERVICE_TOKEN": "t" * 32}))

    assert KEY.startswith("AAECAw")
    for secret in ("w0rker", "n" * 50, "t" * 32, "pa%20ss", "AAECAw"):
        assert secret not in text


def test_debug_has_fixed_secrets_and_nothing_else_has() -> None:
    assert read_environment({"HANDRAIL_DEBUG": "on"}).secret_keys
    with pytest.raises(ConfigurationError):
        read_environment({"HANDRAIL_DEBUG": "off"})


def test_setting_up_needs_the_administrator_and_all_passwords() -> None:
    variables = {role.password_variable: role.value for role in DatabaseRole} | {
        "HANDRAIL_DATABASE_URL": "postgresql://db/training",
        "HANDRAIL_DATABASE_ADMIN_URL": "postgresql://admin:secret@db/postgres",
    }

    assert read_admin_access(variables) == ("postgresql://admin:secret@db/postgres", "training")
    assert read_all_passwords(variables)[DatabaseRole.INGRESS] == "ingress"
    del variables["HANDRAIL_DATABASE_ADMIN_URL"], variables["HANDRAIL_DATABASE_PASSWORD_READONLY"]
    with pytest.raises(ConfigurationError, match="HANDRAIL_DATABASE_ADMIN_URL is not set"):
        read_admin_access(variables)
    with pytest.raises(ConfigurationError, match="HANDRAIL_DATABASE_PASSWORD_READONLY is not set"):
        read_all_passwords(variables)
