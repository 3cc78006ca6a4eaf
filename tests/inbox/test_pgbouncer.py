"""The ingress through PgBouncer in transaction mode, sharing one server connection."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.databases import Database, make_server_folder
from tests.inbox.conftest import Serve
from tests.inbox.world import World, sign_hex
from tests.needs import require_program


@pytest.fixture
def pooled(database: Database) -> Iterator[str]:
    """The ingress's connection string through a PgBouncer."""
    program = require_program("pgbouncer")
    parts = conninfo_to_dict(database.dsn("ingress"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    folder = make_server_folder()
    users, settings = folder / "users", folder / "pgbouncer.ini"
    users.write_text(f'"{parts["user"]}" "{parts["password"]}"\n')
    settings.write_text(f"""
[databases]
* = host={parts["host"]} port={parts["port"]} pool_size=1
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
""")
    # Root may not run it; the server's account reaches the server's socket.
    account = Path(str(parts["host"])).owner()
    switch = ["-u", account] if os.geteuid() == 0 else []
    process = subprocess.Popen([program, "-q", *switch, str(settings)])
    wait_for_port(port, process)
    yield make_conninfo(database.dsn("ingress"), host="127.0.0.1", port=port)
    process.terminate()
    process.wait()
    shutil.rmtree(folder)


def wait_for_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_messages_are_stored_through_a_shared_connection(
    world: World, serve: Serve, pooled: str
) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    servers = [serve(dsn=pooled), serve(dsn=pooled)]

    def post(number: int) -> int:
        body = b"%d" % (number // 2)
        return servers[number % 2].post("milady", body, sign_hex(body, f"{number // 2}")).status

    with ThreadPoolExecutor(16) as pool:
        statuses = sorted(pool.map(post, range(200)))

    assert statuses == [200] * 100 + [202] * 100
    assert len(world.events("id")) == 100
