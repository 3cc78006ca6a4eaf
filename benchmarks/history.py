"""Years of finished enrollments, loaded by COPY, so that figures can be taken on a large database.

For each enrollment: a person, four accounts, four completed runs and steps, a message and two rows
of history for each step, the calls that were made, and the credential.
"""

from psycopg import sql

from benchmarks.bench import Connection
from benchmarks.data import School

# Ids are made once, so that the rows of all tables point at each other.
_IDS = """
create unlogged table history as
select n, uuidv7() as learner, uuidv7() as enrollment,
       array[uuidv7(), uuidv7(), uuidv7(), uuidv7()] as accounts,
       array[uuidv7(), uuidv7(), uuidv7(), uuidv7()] as runs,
       array[uuidv7(), uuidv7(), uuidv7(), uuidv7()] as steps,
       now() - interval '30 days' as at
from generate_series(%s::integer, %s::integer) n
"""
_EACH_STEP = "history h cross join bench_steps b"

# Table, columns, what to select; in an order that foreign keys would like.
_TABLES = (
    (
        "learners",
        "id, organization_id, first_name, last_name, email, email_normalized",
        """h.learner, s.organization, 'Pat', 'Past', 'past' || h.n || '@example.org', 'past' || h.n || '@example.org'
        from history h, bench_school s""",
    ),
    (
        "enrollments",
        """id, organization_id, learner_id, program_id, program_version_id, status, start_date, start_at, started_at,
        activated_at, completed_at""",
        """h.enrollment, s.organization, h.learner, s.program, s.version, 'completed', h.at::date, h.at, h.at, h.at,
        h.at
        from history h, bench_school s""",
    ),
    (
        "partner_accounts",
        "id, organization_id, provider_id, learner_id, external_id",
        "h.accounts[b.k], b.organization, b.provider, h.learner, 'past-' || h.accounts[b.k] from {each_step}",
    ),
    (
        "partner_lms_enrollments",
        """id, organization_id, partner_account_id, provider_id, learner_id, course_id, status,
        external_enrollment_id, progress, completed_at, fact_kind""",
        """h.runs[b.k], b.organization, h.accounts[b.k], b.provider, h.learner, b.course, 'completed',
        'past-' || h.runs[b.k], 100, h.at, 'webhook' from {each_step}""",
    ),
    (
        "enrollment_steps",
        """id, organization_id, enrollment_id, learner_id, program_step_id, provider_id, course_id, sequence_order,
        required, status, partner_enrollment_id, progress, started_at, completed_at""",
        """h.steps[b.k], b.organization, h.enrollment, h.learner, b.step, b.provider, b.course, b.k, true, 'completed',
        h.runs[b.k], 100, h.at, h.at from {each_step}""",
    ),
    (
        "step_events",
        "organization_id, enrollment_id, step_id, attempt, from_status, to_status, cause_kind, created_at",
        """b.organization, h.enrollment, h.steps[b.k], 1, v.old, v.new, 'webhook', h.at from {each_step},
        (values ('pending', 'in_progress'), ('in_progress', 'completed')) as v (old, new)""",
    ),
    (
        "intents",
        """organization_id, provider_id, kind, partner_account_id, partner_enrollment_id, status, attempts, calls""",
        "b.organization, b.provider, 'enroll', h.accounts[b.k], h.runs[b.k], 'done', 1, 1 from {each_step}",
    ),
    (
        "webhook_events",
        """endpoint_id, organization_id, provider_id, event_id, digest, body, content_type, status, kind, applied_at""",
        """b.endpoint, b.organization, b.provider, 'past-' || h.runs[b.k], sha256(h.runs[b.k]::text::bytea),
        convert_to('{{"event":"course.completed","data":{{"enrollmentId":"past-' || h.runs[b.k] || '"}}}}', 'UTF8'),
        'application/json', 'applied', 'course.completed', h.at from {each_step}""",
    ),
    (
        "credentials",
        """organization_id, enrollment_id, learner_id, number, organization_name, holder_name, program_title, steps,
        pdf_status""",
        """s.organization, h.enrollment, h.learner, 'past-' || h.n, 'Bench', 'Pat Past', 'Bench', '[]', 'rendered'
        from history h, bench_school s""",
    ),
)


def fill(reader: Connection, writer: Connection, school: School, *, until: int) -> None:
    """Load finished enrollments until there are `until` of all kinds; what is there already stays."""
    row = writer.execute("select count(*) from enrollments").fetchone()
    there = row[0] if row else 0
    if there >= until:
        return
    for connection in (reader, writer):
        connection.execute("set synchronous_commit = off")  # only while the past is laid out
    writer.execute("set session_replication_role = replica")
    _describe_school(writer, school)
    writer.execute(sql.SQL("drop table if exists history"))
    writer.execute(sql.SQL(_IDS).format(), [there + 1, until])
    writer.execute("set maintenance_work_mem = '1GB'")
    for table, columns, select in _TABLES:
        _leave_indexes(writer, table)
        source = f"copy (select {select.format(each_step=_EACH_STEP)}) to stdout"
        target = f"copy {table} ({columns}) from stdin"
        with reader.cursor().copy(source) as past, writer.cursor().copy(target) as into:
            for block in past:
                into.write(block)
        writer.execute(f"reindex table {table}")
    writer.execute("drop table history, bench_school, bench_steps")
    writer.execute("reset session_replication_role")
    writer.execute("vacuum analyze")
    writer.execute("checkpoint")


def _leave_indexes(writer: Connection, table: str) -> None:
    """Let rows come without entries in the table's indexes, until they are made anew by reindex."""
    writer.execute("update pg_index set indisready = false where indrelid = %s::regclass", [table])


def _describe_school(writer: Connection, school: School) -> None:
    writer.execute("drop table if exists bench_school, bench_steps")
    writer.execute(
        "create unlogged table bench_school (organization uuid, program uuid, version uuid)"
    )
    writer.execute(
        "insert into bench_school values (%s, %s, %s)",
        [school.organization, school.program, school.version],
    )
    writer.execute(
        "create unlogged table bench_steps as select distinct on (p.id) p.sequence_order as k, p.id as step, "
        "p.organization_id as organization, p.provider_id as provider, p.course_id as course, w.id as endpoint "
        "from program_partner_lms p join webhook_endpoints w on w.provider_id = p.provider_id "
        "order by p.id, w.key"
    )
