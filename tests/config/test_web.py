"""The real web process: `handrail web` on a real port and database."""

import contextlib
import gzip
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
from django.templatetags.static import static
from pytest_django import DjangoDbBlocker

from handrail.config.embedded_postgres import find_free_port
from tests.conftest import Servers
from tests.databases import TestServer

MIB = 1024 * 1024


class Web:
    """The process and how to ask it."""

    def __init__(self, server: TestServer, port: int, process: subprocess.Popen[str]) -> None:
        self.server = server
        self.port = port
        self.process = process

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, response.read()

    def ready(self) -> tuple[int, dict[str, str]]:
        time.sleep(1.05)  # one look at the database serves a second
        status, _, body = self.ask("/readyz")
        return status, json.loads(body)


def start(server: TestServer, port: int, **settings: str) -> subprocess.Popen[str]:
    environment = server.environment("web") | {"HANDRAIL_BIND": f"127.0.0.1:{port}"} | settings
    return subprocess.Popen(
        [sys.executable, "-m", "handrail.config.cli", "web"],
        env=environment | {"HANDRAIL_DEBUG": "off"},
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_up(web: Web) -> None:
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError):
            web.ask("/healthz")
            return
        assert web.process.poll() is None, web.process.stderr and web.process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def web(servers: Servers, django_db_blocker: DjangoDbBlocker) -> Iterator[Web]:
    with django_db_blocker.unblock():
        server = servers.get(18)
    port = find_free_port()
    with start(server, port) as process:
        web = Web(server, port, process)
        try:
            wait_until_up(web)
            yield web
        finally:
            process.kill()


def test_the_process_has_the_passwords_of_web_and_ingress_only(web: Web) -> None:
    seen = Path(f"/proc/{web.process.pid}/environ").read_text().split("\0")
    passwords = web.server.postgres.passwords

    names = [line.split("=")[0] for line in seen if "PASSWORD" in line]
    assert sorted(names) == [
        "HANDRAIL_DATABASE_PASSWORD_INGRESS",
        "HANDRAIL_DATABASE_PASSWORD_WEB",
    ]
    for role, password in passwords.items():
        assert any(password in line for line in seen) == (role.value in ("web", "ingress"))


TRY_TO_SIGN_IN = """
import os, sys, psycopg
words = [value for name, value in os.environ.items() if "PASSWORD" in name]
for user in sys.argv[1:]:
    for password in (*words, "", user, "postgres"):
        try:
            psycopg.connect(os.environ["HANDRAIL_DATABASE_URL"], user=user, password=password).close()
        except psycopg.OperationalError as refused:
            assert "password authentication failed" in str(refused) or "no password" in str(refused), refused
        else:
            print(user)
"""


def test_from_inside_the_web_process_nobody_else_can_sign_in(web: Web) -> None:
    """With all that the process has: account, environment, and each password found in it."""
    lines = Path(f"/proc/{web.process.pid}/environ").read_text().split("\0")
    environment = dict(line.split("=", 1) for line in lines if line)
    with psycopg.connect(web.server.dsn("superuser")) as admin:
        logins = admin.execute("select rolname from pg_roles where rolcanlogin").fetchall()
        superusers = admin.execute("select rolname from pg_roles where rolsuper").fetchall()
    users = [user for (user,) in [*logins, ("handrail_machine",), ("root",)]]
    assert {user for (user,) in superusers} | {"handrail_owner", "handrail_worker"} <= set(users)

    tried = subprocess.run(
        [sys.executable, "-c", TRY_TO_SIGN_IN, *users],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(tried.stdout.split()) == ["handrail_ingress", "handrail_web"]


def test_health_and_readiness(web: Web) -> None:
    assert web.ask("/healthz")[::2] == (200, b'{"process": "ok"}')
    assert web.ready() == (200, {"database": "ok", "migrations": "ok", "roles": "ok"})


def test_not_ready_while_migrations_are_pending(web: Web) -> None:
    with psycopg.connect(web.server.dsn("superuser"), autocommit=True) as admin:
        admin.execute("create table kept as select * from django_migrations")
        admin.execute("delete from django_migrations where app = 'sessions'")
        try:
            status, found = web.ready()
        finally:
            admin.execute("truncate django_migrations")
            admin.execute("insert into django_migrations overriding system value table kept")
            admin.execute("drop table kept")

    assert (status, found["migrations"]) == (503, "pending; run handrail migrate")
    assert web.ready()[0] == 200


def test_not_ready_while_a_role_has_too_many_rights(web: Web) -> None:
    with psycopg.connect(web.server.dsn("superuser"), autocommit=True) as admin:
        admin.execute("alter role handrail_web bypassrls")
        try:
            assert web.ready() == (
                503,
                {"database": "ok", "migrations": "ok", "roles": "wrong; run handrail doctor"},
            )
        finally:
            admin.execute("alter role handrail_web nobypassrls")


def test_alive_but_not_ready_while_the_database_is_away(web: Web) -> None:
    with psycopg.connect(web.server.postgres.admin_dsn(), autocommit=True) as admin:
        admin.execute("alter database handrail allow_connections false")
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'handrail'"
        )
        try:
            assert web.ready() == (503, {"database": "unreachable"})
            assert web.ask("/healthz")[0] == 200
        finally:
            admin.execute("alter database handrail allow_connections true")

    assert web.ready()[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/", "/accounts/login/", "/healthz", "/static/x", "/api/webhooks/partners/x", "/nowhere"],
)
@pytest.mark.parametrize("kind", ["Transfer-Encoding: chunked", f"Content-Length: {64 * MIB}"])
def test_a_large_body_is_refused_on_any_path(web: Web, path: str, kind: str) -> None:
    chunked = "chunked" in kind
    piece = b"100000\r\n" + b"x" * MIB + b"\r\n" if chunked else b"x" * MIB
    with socket.create_connection(("127.0.0.1", web.port), timeout=20) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{kind}\r\n\r\n".encode())
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(64):
                connection.sendall(piece)
                sent += 1
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65536):
                answer += part

    assert sent < 64
    if answer:  # a reset may overtake it; some paths need no look at the body
        ignores = path.startswith(("/healthz", "/static/", "/api/webhooks/"))
        assert int(answer.split()[1]) in ({200, 404, 413} if ignores else {413})
        assert b"connection: close" in answer.lower()


def test_headers_of_a_page(web: Web) -> None:
    status, headers, _ = web.ask("/accounts/login/", headers={"Host": "localhost"})

    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "server" not in headers


def test_another_host_name_is_refused(web: Web) -> None:
    status, _, body = web.ask("/accounts/login/", headers={"Host": "evil.example.org"})

    assert status == 400
    assert b"Traceback" not in body


def test_a_static_file_is_kept_for_a_year_by_its_digest(web: Web) -> None:
    address = static("handrail/handrail.css")
    status, headers, body = web.ask(address, headers={"Accept-Encoding": "gzip, br"})

    assert status == 200
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["content-type"] == "text/css; charset=utf-8"
    assert headers["content-encoding"] == "gzip"
    plain = web.ask(address)
    assert gzip.decompress(body) == plain[2]
    assert "content-encoding" not in plain[1]


def test_a_static_file_without_its_digest_is_asked_for_again(web: Web) -> None:
    path = static("handrail/handrail.css").partition("?")[0]
    _, headers, _ = web.ask(path)
    status, again, body = web.ask(path, headers={"If-None-Match": headers["etag"]})

    assert headers["cache-control"] == "no-cache"
    assert (status, body) == (304, b"")
    assert again["etag"] == headers["etag"]


def test_head_of_a_static_file(web: Web) -> None:
    status, headers, body = web.ask(static("handrail/handrail.css"), method="HEAD")

    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/handrail",
        "/static/nothing.css",
        "/static/../../../../etc/passwd",
        "/static/..%2f..%2f..%2fconfig/settings.py",
        "/static/%00",
        "/static//etc/passwd",
    ],
)
def test_no_other_file_is_served(web: Web, path: str) -> None:
    assert web.ask(path)[::2] == (404, b"")


def test_static_files_take_no_post(web: Web) -> None:
    assert web.ask(static("handrail/handrail.css"), method="POST", body=b"")[0] == 404


def test_webhooks_go_to_the_ingress(web: Web) -> None:
    status, headers, body = web.ask("/api/webhooks/partners/nobody", method="POST", body=b"{}")

    assert status == 404
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["reason"] == "there is no such endpoint"


def test_sigterm_lets_the_process_end_in_peace(web: Web) -> None:
    port = find_free_port()
    with start(web.server, port) as process:
        try:
            wait_until_up(Web(web.server, port, process))
            process.send_signal(signal.SIGTERM)
            process.wait(15)
        finally:
            process.kill()

    assert process.returncode in (0, -signal.SIGTERM)


@pytest.mark.parametrize(
    ("trusted", "status"), [("", 301), ("10.0.0.0/8", 301), ("127.0.0.0/8", 200)]
)
def test_only_a_trusted_proxy_may_say_that_it_was_https(
    web: Web, trusted: str, status: int
) -> None:
    port = find_free_port()
    settings = {
        "HANDRAIL_BASE_URL": "https://handrail.example.org",
        "HANDRAIL_TRUSTED_PROXIES": trusted,
    }
    with start(web.server, port, **settings) as process:
        try:
            behind = Web(web.server, port, process)
            wait_until_up(behind)
            asked = {"Host": "handrail.example.org", "X-Forwarded-Proto": "https"}
            found, headers, _ = behind.ask("/accounts/login/", headers=asked)
            assert found == status
            if status == 200:
                assert headers["strict-transport-security"] == "max-age=31536000"
                assert headers["set-cookie"].startswith("__Host-csrf=")
                assert "Secure" in headers["set-cookie"]
            assert behind.ask("/healthz")[0] == 200
        finally:
            process.kill()


def test_a_wrong_configuration_ends_with_78_and_all_problems(web: Web) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "handrail.config.cli", "web"],
        env=web.server.environment("web") | {"HANDRAIL_BASE_URL": "x", "HANDRAIL_BIND": "x"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert result.returncode == 78
    assert result.stderr == (
        "handrail: The configuration cannot be used:\n"
        "- HANDRAIL_BASE_URL is 'x', but must be like https://handrail.example.org.\n"
        "- HANDRAIL_BIND has 'x', but must be host:port.\n"
    )


def test_an_address_that_cannot_be_listened_at_is_told_with_its_setting(web: Web) -> None:
    with start(web.server, web.port) as process:
        _, said = process.communicate(timeout=30)
    nowhere = f"nosuch.invalid:{web.port}"
    with start(web.server, web.port, HANDRAIL_BIND=nowhere) as process:
        _, unknown = process.communicate(timeout=30)

    example = f"choose another one, for instance: HANDRAIL_BIND=127.0.0.1:{web.port + 1}"
    assert said == (
        f"handrail: Port {web.port} of 127.0.0.1 is in use by another program. Stop that, or {example}\n"
    )
    assert unknown.startswith(f"handrail: Port {web.port} of nosuch.invalid cannot be used (")
    assert "HANDRAIL_BIND=nosuch.invalid:" in unknown
