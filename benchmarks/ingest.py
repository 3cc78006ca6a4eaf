"""(a) Webhooks stored per second, beside committed single-row INSERTs of the same row.

wrk posts signed messages over 32 connections to the web process as it runs in production, each
message another one; answered means committed. The measure beside it is pgbench: 32 connections,
each committing one prepared INSERT of the same row into the same table, as the superuser, past row
security. They take turns on one durable server. Last, what a plain Django view stores.
"""

import contextlib
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import UUID

from benchmarks.bench import Bench, Connection, median, wait_until
from benchmarks.data import SECRET, make_school, read_keyring
from handrail.config.embedded_postgres import find_free_port
from handrail.inbox.endpoints import locate_secret

KEY = "ingest"
CONNECTIONS = 32
SECONDS, QUICK_SECONDS = 6, 3
MOST_PER_SECOND = 30_000  # so many messages are signed for each second
BODY = (
    '{"event":"progress.updated","timestamp":"2026-05-28T20:26:40Z","data":{"enrollmentId":"%s",'
    '"studentId":"stu-4711","courseId":"crs-2001","percentage":42.5,"lessonsCompleted":17,"totalLessons":40}}'
)
WRK = Path(__file__).with_suffix(".lua")


def run(bench: Bench) -> Mapping[str, float]:
    """Return the medians of the pairs, and `flush_ms`, what one durable write takes here."""
    ours, limits, ratios, views = [], [], [], []
    with _prepared(bench) as db:
        with bench.running("web", "handrail.config.cli", "web"):
            _wait_for(*bench.web)
            _post(db, bench.web, seconds=1)  # Warm up.
            for _ in range(bench.pairs):
                ours.append(_post(db, bench.web, seconds=_seconds(bench)))
                limits.append(_insert(bench, db, seconds=_seconds(bench)))
                ratios.append(ours[-1] / limits[-1])
        with _django_view(bench) as address:
            _post(db, address, seconds=1)
            views = [_post(db, address, seconds=2) for _ in range(bench.pairs)]
    return {
        "per_second": median(ours),
        "insert_limit_per_second": median(limits),
        "ratio": median(ratios),
        "django_view_per_second": median(views),
        "flush_ms": measure_flush_ms(bench),
    }


def measure_stored_per_second(bench: Bench) -> float:
    """What the web process stores, once; for the comparison of a small and a large database."""
    with _prepared(bench) as db, bench.running("web", "handrail.config.cli", "web"):
        _wait_for(*bench.web)
        _post(db, bench.web, seconds=1)
        return _post(db, bench.web, seconds=_seconds(bench))


def measure_flush_ms(bench: Bench, *, count: int = 300) -> float:
    """The median of writing 8 KiB and flushing it where the database is, in milliseconds."""
    times = []
    with tempfile.NamedTemporaryFile(dir=bench.local.postgres.home.folder) as file:
        page = os.urandom(8192)
        for _ in range(count):
            began = time.perf_counter()
            os.pwrite(file.fileno(), page, 0)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return median(times) * 1000


@contextlib.contextmanager
def _prepared(bench: Bench) -> Iterator[Connection]:
    """A superuser's connection, with an endpoint for these messages; what was stored goes again."""
    school = make_school(bench)
    with bench.connect_as_superuser() as db:
        db.execute(
            "insert into webhook_endpoints (key, kind, scheme, organization_id, provider_id) "
            "values (%s, 'partner', 'standard-webhooks', %s, %s) on conflict (key) do nothing",
            [KEY, school.organization, school.providers[0]],
        )
        endpoint = _find_endpoint(db)
        sealed = read_keyring(bench).encrypt(
            SECRET.encode(), place=locate_secret(endpoint, "secret")
        )
        db.execute("update webhook_endpoints set secret = %s where id = %s", [sealed, endpoint])
        try:
            yield db
        finally:
            db.execute("delete from webhook_events where endpoint_id = %s", [endpoint])
            db.execute("vacuum analyze webhook_events")


def _find_endpoint(db: Connection) -> UUID:
    row = db.execute("select id from webhook_endpoints where key = %s", [KEY]).fetchone()
    if row is None:
        raise LookupError("the endpoint of the benchmark is not there")
    endpoint: UUID = row[0]
    return endpoint


def _seconds(bench: Bench) -> int:
    return QUICK_SECONDS if bench.quick else SECONDS


def _post(db: Connection, address: tuple[str, int], *, seconds: int) -> float:
    """Let wrk post; return the messages that were stored per second.

    Raises:
        RuntimeError: an answer was no success, or what was answered is not stored.
    """
    stamp = int(time.time())
    before = _count_when_quiet(db)
    with tempfile.NamedTemporaryFile("w") as signed:
        signed.writelines(_sign(stamp, count=MOST_PER_SECOND * seconds))
        signed.flush()
        _settle_down(db)
        done = subprocess.run(
            [find_wrk(), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"-s{WRK}", _url(address)],
            env={
                "PATH": os.environ["PATH"],
                "INGEST_KEY": KEY,
                "INGEST_STAMP": str(stamp),
                "INGEST_SIGNED": signed.name,
                "INGEST_BODY": BODY,
            },
            check=True,
            capture_output=True,
            text=True,
        )
    line = next((line for line in done.stdout.splitlines() if line.startswith("INGEST ")), "")
    if not line:
        raise RuntimeError(f"wrk did not end well: {done.stdout}{done.stderr}")
    requests, microseconds, failed = map(int, line.split()[1:])
    stored = _count_when_quiet(db) - before
    if failed or not requests <= stored <= requests + CONNECTIONS:
        raise RuntimeError(f"{requests} requests, {failed} failed, {stored} stored")
    return requests / microseconds * 1e6


def _count_when_quiet(db: Connection) -> int:
    """Count when nothing comes any more: what wrk sent last is stored after it has ended."""
    count = -1
    while count != (count := _count(db)):
        time.sleep(0.5)
    return count


def _sign(stamp: int, *, count: int) -> Iterator[str]:
    """Lines of id and signature, as Standard Webhooks signs."""
    key = b64decode(SECRET.removeprefix("whsec_"))
    for number in range(count):
        event_id = f"msg_{stamp:x}{time.monotonic_ns():x}{number:x}"
        signed = f"{event_id}.{stamp}.{BODY % event_id}".encode()
        yield f"{event_id} v1,{b64encode(hmac.digest(key, signed, 'sha256')).decode()}\n"


def _insert(bench: Bench, db: Connection, *, seconds: int) -> float:
    """Let pgbench insert the same row, each in a transaction of its own; return rows per second."""
    row = db.execute(
        "select endpoint_id, organization_id, provider_id from webhook_events where endpoint_id = %s limit 1",
        [_find_endpoint(db)],
    ).fetchone()
    if row is None:
        raise LookupError("no message was stored before")
    body = BODY % ("msg_" + 32 * "x")
    statement = (
        "insert into webhook_events (endpoint_id, organization_id, provider_id, event_id, digest, body, content_type,"
        f" sent_at) values ('{row[0]}', '{row[1]}', '{row[2]}', 'msg_' || replace(gen_random_uuid()::text, '-', ''),"
        f" '\\x{hashlib.sha256(body.encode()).hexdigest()}', '{body}', 'application/json', now());\n"
    )
    info = db.info
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(statement)
        script.flush()
        _settle_down(db)
        done = subprocess.run(
            [
                str(bench.local.postgres.home.binaries / "pgbench"),
                *("--no-vacuum", "--protocol=prepared", f"--client={CONNECTIONS}", "--jobs=1"),
                *(f"--time={seconds}", f"--file={script.name}"),
                *("-h", info.host, "-p", str(info.port), "-U", info.user, info.dbname),
            ],
            env={"PATH": os.environ["PATH"], "PGPASSWORD": info.password},
            check=True,
            capture_output=True,
            text=True,
        )
    line = next(line for line in done.stdout.splitlines() if line.startswith("tps = "))
    return float(line.split()[2])


def _settle_down(db: Connection) -> None:
    """Begin with a fresh checkpoint, so that none falls into one measurement and not the other."""
    db.execute("checkpoint")


def _count(db: Connection) -> int:
    row = db.execute(
        "select count(*) from webhook_events where endpoint_id = %s", [_find_endpoint(db)]
    ).fetchone()
    return int(row[0]) if row else 0


@contextlib.contextmanager
def _django_view(bench: Bench) -> Iterator[tuple[str, int]]:
    """Serve `benchmarks.django_view` with one uvicorn; give its address."""
    port = find_free_port()
    environment = bench.environment_of("web") | {
        "BENCH_DSN": bench.local.postgres.admin_dsn("handrail"),
        "DJANGO_SETTINGS_MODULE": "benchmarks.django_view",
    }
    options = [
        "--port",
        str(port),
        "--log-level",
        "error",
        "--no-access-log",
        "--interface",
        "wsgi",
    ]
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "benchmarks.django_view:application", *options],
        env=environment,
    )
    try:
        _wait_for("127.0.0.1", port)
        yield "127.0.0.1", port
    finally:
        server.terminate()
        server.wait()


def _url(address: tuple[str, int]) -> str:
    return f"http://{address[0]}:{address[1]}/"


def _wait_for(host: str, port: int) -> None:
    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            return True
        return False

    wait_until(listens, seconds=30, what="the web process")


def find_wrk() -> str:
    """Return the path of wrk; root gets it installed where it is missing.

    Raises:
        SystemExit: it is missing and we may not install it.
    """
    if not shutil.which("wrk") and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "-q", "wrk"], check=True, stdout=sys.stderr)
    path = shutil.which("wrk")
    if path is None:
        raise SystemExit(
            "make bench needs wrk (Debian: apt-get install wrk). Nothing was measured."
        )
    return path
