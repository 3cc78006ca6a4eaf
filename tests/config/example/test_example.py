"""The example of `handrail run`, made once on a server of its own, as the command makes it."""

import contextlib
import json
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from handrail.config.embedded_postgres import find_free_port
from handrail.config.example import erase_rows, list_full_tables
from handrail.config.example.making import STUDENT, move_dates
from handrail.config.example.partners import Partners
from handrail.config.installation import Installation, LocalInstallation
from handrail.config.run import list_processes, run_step, started
from handrail.config.sandbox_setup import read_control_token
from handrail.enrollments.promises import find_violations
from tests.config.conftest import remove
from tests.databases import Database, make_server_folder

EXAMPLE = Path(__file__).parents[3] / "examples/roster.csv"
CAUSES = {
    *(("call", "one_enrollment"), ("call", "refused"), ("call", "undecidable")),
    *(
        ("provider_calls", None),
        ("completion_revoked", None),
        ("reconciliation", None),
        ("late_requirement", None),
        ("partner_not_told", None),
    ),
    *(
        ("run", None),
        ("webhook_conflict", None),
        ("webhook_event", None),
        ("webhook_refused", None),
    ),
}


@dataclass
class Example:
    """An installation with the example, its server running."""

    local: LocalInstallation
    installation: Installation
    news: str

    @property
    def admin_dsn(self) -> str:
        return make_conninfo(self.local.admin_dsn(), dbname="handrail")

    @property
    def state(self) -> Path:
        return self.local.folder / "sandbox/state.sqlite"

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.admin_dsn) as admin:
            return admin.execute(query.encode()).fetchall()

    def connect(self, role: str = "") -> psycopg.Connection[Any]:
        """As one of our roles, or as the superuser."""
        if not role:
            return psycopg.connect(self.admin_dsn)
        password = self.installation.variables[f"HANDRAIL_DATABASE_PASSWORD_{role.upper()}"]
        url = self.installation.variables["HANDRAIL_DATABASE_URL"]
        return psycopg.connect(make_conninfo(url, user=f"handrail_{role}", password=password))

    @contextlib.contextmanager
    def run_process(self, name: str) -> Iterator[None]:
        """Run one of the processes of `handrail run` beside the test."""
        specs = list_processes(self.installation, self.local)
        specs.append(self.installation.spec_of("learners", "--folder", str(self.local.folder)))
        (spec,) = [each for each in specs if each.name == name]
        process = subprocess.Popen(spec.arguments, env=dict(spec.environment))
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(15) == 0

    def list_sign_ups(self) -> dict[tuple[str, str], str]:
        """Who signed up at the portal for what: the enrollment's id there."""
        with closing(sqlite3.connect(self.state)) as sandbox:
            query = "select email_key, course, e.id from enrollments e join accounts a on a.id = e.account"
            rows = sandbox.execute(f"{query} where e.partner = 'jri'").fetchall()
        return {(email, course): id for email, course, id in rows}

    def wait_for(self, is_so: Callable[[], bool], *, seconds: float = 60) -> None:
        """Look again and again until it is so."""
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def load(self, sandbox_port: int | None = None) -> str:
        """Give the command once more, as the next start does."""
        port = str(sandbox_port or self.local.sandbox_port)
        options = ("--folder", str(self.local.folder), "--sandbox-port", port)
        allowed = {"HANDRAIL_ALLOWED_PRIVATE_HOSTS": f"127.0.0.1:{port}"}
        installation = Installation({**self.installation.variables, **allowed})
        return run_step(installation, "load-example", *options)

    def remember(self) -> Any:
        return json.loads((self.local.folder / "example.json").read_text())


@pytest.fixture(scope="module")
def example() -> Iterator[Example]:
    folder = make_server_folder()
    with contextlib.ExitStack() as stack:
        stack.callback(remove, folder)
        bind = ("127.0.0.1", find_free_port())
        local = LocalInstallation(folder / "var", bind=bind, say=lambda _: None)
        installation = stack.enter_context(started(local))
        run_step(installation, "migrate")
        example = Example(local, installation, "")
        example.news = example.load()
        yield example


pytestmark = pytest.mark.slow


def test_the_roster_is_there_as_it_was_sent(example: Example) -> None:
    assert example.rows(
        "select count(*) from learners where email <> 'nila.kumar@example.org'"
    ) == [(61,)]
    counts = (
        "select count(*) from enrollments e join organizations o on o.id = e.organization_id "
        "where e.status <> 'withdrawn' or e.start_date < (now() at time zone o.time_zone)::date"
    )
    assert example.rows(counts) == [(63,)]  # 62, and one who came later
    imported = (example.local.folder / "example/roster.csv").read_text()
    assert imported.count("\n") == EXAMPLE.read_text().count("\n")


def test_people_are_at_every_stage(example: Example) -> None:
    statuses = dict(example.rows("select status, count(*) from enrollments group by 1"))
    assert set(statuses) == {"active", "completed", "suspended", "withdrawn"}
    assert (statuses["completed"] >= 15, statuses["active"] >= 25) == (True, True)
    ((waiting, failed, stuck),) = example.rows("""
        select count(distinct e.id) filter (where e.started_at is null),
               count(distinct e.id) filter (where s.status = 'failed'),
               count(distinct e.id) filter (where s.status = 'in_progress' and s.updated_at < now() - interval '7 days')
        from enrollments e join enrollment_steps s on s.enrollment_id = e.id where e.status = 'active'""")
    assert (waiting >= 5, failed >= 2, stuck >= 4) == (True, True, True)
    reasons = {
        reason for (reason,) in example.rows("select distinct skip_reason from enrollment_steps")
    }
    assert reasons == {None, "not_chosen", "outside_experience"}


def test_every_promise_is_kept(example: Example) -> None:
    keys = [
        key.split(":")[0]
        for key in example.installation.variables["HANDRAIL_SECRET_KEYS"].split(",")
    ]
    with example.connect("worker") as worker, worker.cursor() as cursor:
        found = list(find_violations(cursor, waiting_hours=24, key_ids=keys))

    # An order that got lost is not known to us; its message waits, and is told at the real start.
    assert [str(each) for each in found if "waits longer" not in each.words] == []


def test_there_is_one_of_each_cause_on_the_attention_list(example: Example) -> None:
    found = example.rows(
        "select kind, details ->> 'cause', opened_at from attention_items where resolved_at is null"
    )

    assert {(kind, cause if kind == "call" else None) for kind, cause, _ in found} == CAUSES
    now = datetime.now(UTC)
    assert all(now - timedelta(days=45) < opened < now - timedelta(days=1) for *_, opened in found)


def test_the_past_is_past_and_in_order(example: Example) -> None:
    yesterday = "now() - interval '4 hours'"
    for table, column in (
        *(("step_events", "created_at"), ("webhook_events", "received_at")),
        *(("intents", "updated_at"), ("attention_items", "opened_at"), ("profiles", "created_at")),
        *(("enrollments", "updated_at"), ("credentials", "issued_at"), ("learners", "created_at")),
    ):
        assert example.rows(f"select count(*) from {table} where {column} > {yesterday}") == [(0,)]
    assert example.rows(
        "select count(*) from enrollment_steps where completed_at < started_at"
        " or started_at < (select start_at from enrollments e where e.id = enrollment_id)"
    ) == [(0,)]
    assert example.rows("""
        select count(*) from (select created_at < lag(created_at) over (partition by enrollment_id order by id) as back
        from step_events) as history where back""") == [(0,)]
    assert example.rows(
        "select max(issued_at) - min(issued_at) > interval '30 days' from credentials"
    ) == [(True,)]


def test_the_partners_know_the_same_people_and_the_same_past(example: Example) -> None:
    ours = example.rows("""
        select p.adapter, r.external_enrollment_id, r.status = 'completed' and r.revoked_at is null
        from partner_lms_enrollments r join partner_lms_providers p on p.id = r.provider_id
        where r.external_enrollment_id is not null""")
    with closing(sqlite3.connect(example.state)) as sandbox:
        theirs = sandbox.execute(
            "select partner, id, status = 'completed' from enrollments where partner <> 'jri'"
        ).fetchall()
        late = sandbox.execute(
            "select count(*) from enrollments where created_at > coalesce(closed_at, 1e12)"
            " or created_at > ?",
            [(datetime.now(UTC) - timedelta(hours=4)).timestamp()],
        ).fetchone()
        pending = sandbox.execute(
            "select count(*) from webhooks where state <> 'delivered'"
        ).fetchone()
        studying = sandbox.execute(
            "select count(*), min(study_next_at), max(study_next_at) from enrollments"
            " where study_next_at is not null"
        ).fetchone()

    # Two sides may differ in what needs a person: the order that got lost, a completion taken back.
    known = {(partner, id) for partner, id, _ in ours}
    lost = [(partner, id) for partner, id, _ in theirs if (partner, id) not in known]
    assert [partner for partner, _ in lost] == ["nds"]
    done = {(partner, id) for partner, id, completed in theirs if completed}
    assert {(partner, id) for partner, id, completed in ours if completed} - done == set()
    assert (late, pending) == ((0,), (0,))
    count, first, last = studying
    assert count >= 15
    assert last - first > 200


def test_the_student_has_something_to_do_and_studies_only_by_hand(example: Example) -> None:
    assert example.rows(f"""
        select g.slug, c.code, s.status, s.progress between 30 and 95
        from enrollment_steps s join learners l on l.id = s.learner_id and l.profile_id is not null
        join enrollments e on e.id = s.enrollment_id join programs g on g.id = e.program_id
        join partner_lms_courses c on c.id = s.course_id
        where l.email_normalized = '{STUDENT}' and (s.status = 'in_progress' or not s.required)
        order by 1, 2""") == [
        ("barber-apprenticeship", "RISE-CWS", "in_progress", True),
        ("food-service-manager", "HSI-FA-RSV", "pending", False),
        ("food-service-manager", "JRI-COMM", "pending", False),
        ("food-service-manager", "SS-ALC", "pending", False),
    ]  # fmt: skip
    config = json.loads((example.local.folder / "sandbox/config.json").read_text())
    assert STUDENT in config["leave_alone"]
    assert len(config["leave_alone"]) == 5
    assert "SS-ALC" in [each["code"] for each in config["partners"]["nrf"]["courses"]]


def test_the_news_says_who_can_sign_in_with_what(example: Example) -> None:
    lines = [line.split() for line in example.news.splitlines()]

    sign_ins = [words for words in lines if words and words[0] in ("owner", "staff", "student")]
    assert [words[:2] for words in sign_ins] == [
        ["owner", "olivia.owner@northside.example"],
        ["staff", "sam.staff@northside.example"],
        ["student", STUDENT],
    ]
    kept = {each["email"]: each["password"] for each in example.remember()["sign_ins"]}
    assert {email: password for _, email, password in sign_ins} == kept
    assert (example.local.folder / "example.json").stat().st_mode & 0o777 == 0o600
    stored = dict(example.rows("select email, password from profiles"))
    from django.contrib.auth.hashers import ScryptPasswordHasher

    assert all(ScryptPasswordHasher().verify(kept[email], stored[email]) for email in kept)


def test_the_next_start_goes_on_with_the_same_data(example: Example) -> None:
    def look() -> list[Any]:
        tables = (
            "organizations",
            "enrollments",
            "step_events",
            "partner_lms_providers",
            "profiles",
        )
        config = (example.local.folder / "sandbox/config.json").read_text()
        return [config, *(example.rows(f"select * from {table} order by id") for table in tables)]

    before = look()

    assert example.load() == example.news

    assert look() == before


def test_another_port_is_told_to_both_sides(example: Example) -> None:
    port = find_free_port()
    before = json.loads((example.local.folder / "sandbox/config.json").read_text())

    example.load(sandbox_port=port)

    after = json.loads((example.local.folder / "sandbox/config.json").read_text())
    assert after["public_url"] == f"http://127.0.0.1:{port}"
    assert (after["control_token"], after["leave_alone"]) == (
        before["control_token"],
        before["leave_alone"],
    )
    addresses = {
        url
        for (url,) in example.rows(
            "select base_url from partner_lms_providers where mode <> 'link'"
        )
    }
    assert {url.rpartition("/")[0] for url in addresses} == {f"http://127.0.0.1:{port}"}
    example.load()


def test_without_the_sandboxs_configuration_both_sides_get_new_secrets(example: Example) -> None:
    file = example.local.folder / "sandbox/config.json"
    before = json.loads(file.read_text())
    file.unlink()
    sealed = example.rows("select id, secret from webhook_endpoints order by id")

    assert example.load() == example.news

    after = json.loads(file.read_text())
    assert after["partners"].keys() == before["partners"].keys()
    assert after["partners"]["nds"]["webhook_secret"] != before["partners"]["nds"]["webhook_secret"]
    assert example.rows("select id, secret from webhook_endpoints order by id") != sealed


def test_an_installation_without_the_example_is_left_alone(example: Example) -> None:
    with psycopg.connect(example.admin_dsn, autocommit=True) as admin:
        admin.execute("update organizations set slug = 'westside'")
        try:
            assert example.load() == ""
        finally:
            admin.execute("update organizations set slug = 'northside'")


AT_THE_PORTAL = """
select l.email_normalized, c.code
from enrollment_steps s
join learners l on l.id = s.learner_id
join partner_lms_courses c on c.id = s.course_id
join partner_lms_providers p on p.id = s.provider_id
where p.slug = 'jri' and s.status = 'in_progress' order by s.started_at, s.id
"""
AT_THE_CHOICE = """
select l.email_normalized, count(*) filter (where s.chosen_at is not null)
from enrollment_steps s join learners l on l.id = s.learner_id
join enrollments e on e.id = s.enrollment_id and e.status = 'active'
where not s.required and not exists (
  select from enrollment_steps b where b.enrollment_id = e.id and b.required
    and b.sequence_order < s.sequence_order and b.status not in ('completed', 'skipped'))
group by e.id, l.id
"""
TO_THE_CHOICE = """
select count(*) from enrollment_steps s
join enrollments e on e.id = s.enrollment_id and e.status = 'active',
lateral apply_partner_events(jsonb_build_array(jsonb_build_object('ref', 'test', 'kind', 'course.completed',
  'provider_id', s.provider_id, 'learner_id', s.learner_id, 'course_id', s.course_id, 'occurred_at', now(),
  'cause_kind', 'file', 'cause_reason', 'a test'))) where s.id = (
    select s.id from enrollment_steps s join partner_lms_courses c on c.id = s.course_id
    where c.code = 'SS-MGR' and s.status = 'in_progress' order by s.id limit 1)
"""


def test_learners_sign_up_choose_and_are_heard_of(example: Example) -> None:
    """Whoever begins, or comes to a choice, goes on; the portal's file is imported by itself."""
    with example.connect("worker") as worker:
        worker.execute(TO_THE_CHOICE)
    with example.connect() as admin:
        admin.execute("update enrollments set start_at = now() where start_at > now()")
    with example.connect("worker") as worker:
        worker.execute("select start_due_enrollments(100)")
    at_the_portal = example.rows(AT_THE_PORTAL)
    undecided = [email for email, chosen in example.rows(AT_THE_CHOICE) if chosen == 0]
    assert (len(at_the_portal) >= 2, len(undecided) >= 2) == (True, True)
    done, code = at_the_portal[0]

    with example.run_process("sandbox"), example.run_process("learners"):
        example.wait_for(lambda: set(at_the_portal) <= example.list_sign_ups().keys())
        config = example.local.folder / "sandbox/config.json"
        address = f"http://127.0.0.1:{example.local.sandbox_port}"
        with closing(Partners(address, read_control_token(config))) as partners:
            enrollment = example.list_sign_ups()[done, code]
            partners.act("jri", enrollment, "complete", at=datetime.now(UTC))
        example.wait_for(lambda: (done, code) not in example.rows(AT_THE_PORTAL))

    assert example.rows(f"""
        select h.cause_kind, h.reason like 'jri.csv, line %' from step_events h
        join enrollment_steps s on s.id = h.step_id join learners l on l.id = s.learner_id
        join partner_lms_courses c on c.id = s.course_id
        where l.email_normalized = '{done}' and c.code = '{code}' and h.to_status = 'completed'
        """) == [("file", True)]
    # The visitor's student is left to the visitor.
    assert [who for who, chosen in example.rows(AT_THE_CHOICE) if chosen == 0] == [STUDENT]


def test_the_worker_makes_the_certificates_and_one_name_has_letters_of_no_font(
    example: Example,
) -> None:
    waiting = "select count(*) from credentials where pdf_status = 'pending'"
    with example.run_process("worker"):
        example.wait_for(lambda: example.rows(waiting) == [(0,)])
    assert example.rows("""
        select l.email_normalized, a.cause like 'The certificate''s fonts lack letters: %'
        from attention_items a join credentials c on c.id = a.subject_id join learners l on l.id = c.learner_id
        where a.kind = 'certificate' and a.resolved_at is null
        """) == [("nila.kumar@example.org", True)]


def test_a_start_that_was_broken_off_leaves_nothing(database: Database) -> None:
    admin_dsn = database.dsn("superuser")
    seeds = list_full_tables(admin_dsn)
    with database.connect("worker") as worker:
        worker.execute("insert into organizations (slug, name) values ('northside', 'Half of it')")

    erase_rows(admin_dsn, but=seeds)

    assert list_full_tables(admin_dsn) == seeds
    assert "django_migrations" in seeds


def test_dates_move_together_and_mistakes_stay() -> None:
    text = "a,2026-06-01\nb,2026-06-11\nc,2026-13-45\n"

    assert move_dates(text, today=datetime(2030, 1, 1, tzinfo=UTC).date()) == (
        "a,2030-01-03\nb,2030-01-13\nc,2026-13-45\n"
    )
