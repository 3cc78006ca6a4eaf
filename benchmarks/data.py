"""What the benchmarks work on: an organization with four partners and a program of four steps."""

import base64
from dataclasses import dataclass
from uuid import UUID

from psycopg import sql

from benchmarks.bench import SIMULATOR_PORT, Bench, Connection
from handrail.core.crypto import Keyring
from handrail.inbox.endpoints import locate_secret
from handrail.partners.providers import seal_credentials

STEPS = 4
SECRET = "whsec_YmVuY2htYXJrLXNpZ25pbmcta2V5LW9mLTMyLWJ5dGVz"  # noqa: S105 - of the simulator only
CHUNK = 500


@dataclass(frozen=True, slots=True)
class School:
    """The organization of a benchmark."""

    organization: UUID
    providers: list[UUID]
    courses: list[UUID]
    program: UUID
    version: UUID


def make_school(bench: Bench) -> School:
    """Create (or find) the organization, its partners, courses and published program."""
    keyring = read_keyring(bench)
    with bench.connect_as_superuser() as db:
        found = db.execute("select id from organizations where slug = 'bench'").fetchone()
        organization = (
            found[0] if found else _insert(db, "organizations", slug="bench", name="Bench")
        )
        if not found:
            for number in range(1, STEPS + 1):
                _make_partner(db, organization, number, keyring)
            _make_program(db, organization)
        providers, courses = _columns(
            db,
            "select p.id, c.id from partner_lms_providers p join partner_lms_courses c on c.provider_id = p.id "
            "where p.organization_id = %s order by p.slug",
            organization,
        )
        (program,), (version,) = _columns(
            db,
            "select program_id, id from program_versions where organization_id = %s",
            organization,
        )
        # The simulator's address is another one each time.
        for number, provider in enumerate(providers, start=1):
            address = f"http://127.0.0.1:{SIMULATOR_PORT}/p{number}"
            db.execute(
                "update partner_lms_providers set base_url = %s where id = %s", [address, provider]
            )
        db.execute(
            "update program_versions set published_at = now() where id = %s and published_at is null",
            [version],
        )
    return School(organization, providers, courses, program, version)


def read_keyring(bench: Bench) -> Keyring:
    """The keys of the benchmark's installation."""
    pairs = (
        each.split(":", 1)
        for each in bench.installation.variables["HANDRAIL_SECRET_KEYS"].split(",")
    )
    return Keyring((name, base64.urlsafe_b64decode(key)) for name, key in pairs)


def add_learners(db: Connection, school: School, count: int) -> list[UUID]:
    """Add people that nobody knows yet."""
    return _column(
        db,
        "insert into learners (organization_id, first_name, last_name, email, email_normalized) "
        "select %s, 'Lee', 'Learner', a, a from (select uuidv7() || '@example.org' as a from generate_series(1, %s)) x "
        "returning id",
        school.organization,
        count,
    )


def add_accounts(db: Connection, school: School, learners: list[UUID]) -> None:
    """Make accounts at all four partners, with ids, so that only enrollment calls remain."""
    db.execute(
        "insert into partner_accounts (organization_id, provider_id, learner_id, external_id) "
        "select %s, p, l, 'acct-' || l from unnest(%s::uuid[]) p, unnest(%s::uuid[]) l",
        [school.organization, school.providers, learners],
    )


def enroll(db: Connection, school: School, learners: list[UUID]) -> list[UUID]:
    """Make active enrollments whose start has come but that nobody started yet."""
    enrollments = _column(
        db,
        "insert into enrollments (organization_id, learner_id, program_id, program_version_id, status, start_date, "
        "start_at, activated_at) select %s, l, %s, %s, 'active', current_date, now(), now() from unnest(%s::uuid[]) l "
        "returning id",
        school.organization,
        school.program,
        school.version,
        learners,
    )
    db.execute(
        "insert into step_events (organization_id, enrollment_id, from_status, to_status, cause_kind) "
        "select %s, e, 'pending', 'active', 'import' from unnest(%s::uuid[]) e",
        [school.organization, enrollments],
    )
    db.execute(
        "insert into enrollment_steps (organization_id, enrollment_id, learner_id, program_step_id, provider_id, "
        "course_id, sequence_order, required) select p.organization_id, e.id, e.learner_id, p.id, p.provider_id, "
        "p.course_id, p.sequence_order, true from enrollments e join program_partner_lms p "
        "on p.program_version_id = e.program_version_id where e.id = any (%s)",
        [enrollments],
    )
    return enrollments


def start(bench: Bench) -> None:
    """Start all enrollments that are due, as the worker's timer does."""
    with bench.connect() as worker:
        while (worker.execute("select start_due_enrollments(%s)", [CHUNK]).fetchone() or [0])[0]:
            pass


def answer_calls(db: Connection) -> None:
    """Let every partner have answered: runs are active and have the partner's id, nothing is to be called."""
    db.execute(
        "update partner_lms_enrollments set status = 'active', external_enrollment_id = 'enr-' || id "
        "where status = 'provisioning'"
    )
    db.execute("update intents set status = 'done' where status = 'queued'")


def _make_partner(db: Connection, organization: UUID, number: int, keyring: Keyring) -> None:
    provider = _insert(
        db,
        "partner_lms_providers",
        organization_id=organization,
        slug=f"p{number}",
        name=f"Partner {number}",
        adapter="bench",
        mode="api",
    )
    credentials = seal_credentials(
        provider, {"api_key": "key", "organization_id": "bench"}, keyring
    )
    db.execute(
        "update partner_lms_providers set credentials = %s where id = %s", [credentials, provider]
    )
    _insert(
        db,
        "partner_lms_courses",
        organization_id=organization,
        provider_id=provider,
        code=f"C{number}",
        title=f"Course {number}",
    )
    endpoint = _insert(
        db,
        "webhook_endpoints",
        key=f"p{number}",
        kind="partner",
        scheme="standard-webhooks",
        organization_id=organization,
        provider_id=provider,
    )
    secret = keyring.encrypt(SECRET.encode(), place=locate_secret(endpoint, "secret"))
    db.execute("update webhook_endpoints set secret = %s where id = %s", [secret, endpoint])


def _make_program(db: Connection, organization: UUID) -> None:
    program = _insert(db, "programs", organization_id=organization, slug="bench", title="Bench")
    version = _insert(
        db, "program_versions", organization_id=organization, program_id=program, number=1
    )
    db.execute(
        "insert into program_partner_lms (organization_id, program_version_id, provider_id, course_id, sequence_order) "
        "select c.organization_id, %s, c.provider_id, c.id, substr(c.code, 2)::int from partner_lms_courses c "
        "where c.organization_id = %s",
        [version, organization],
    )


def _insert(db: Connection, table: str, **values: object) -> UUID:
    statement = sql.SQL("insert into {} ({}) values ({}) returning id").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(sql.Placeholder() * len(values)),
    )
    return _column(db, statement, *values.values())[0]


def _column(db: Connection, statement: str | sql.Composed, *parameters: object) -> list[UUID]:
    return [row[0] for row in db.execute(statement, parameters)]


def _columns(db: Connection, statement: str, *parameters: object) -> tuple[list[UUID], list[UUID]]:
    rows = db.execute(statement, parameters).fetchall()
    return [row[0] for row in rows], [row[1] for row in rows]
