"""What pages ask stays on indexes: plans on some ten thousand steps of two organizations."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from handrail.credentials.queries import list_credentials
from handrail.enrollments.queries.attention import count_open_items, list_attention
from handrail.enrollments.queries.detail import get_enrollment, list_changes
from handrail.enrollments.queries.people import (
    PEOPLE_PAGE,
    list_enrolled,
    list_learners,
    read_export_page,
)
from handrail.enrollments.queries.pipeline import (
    AT_STEP_PAGE,
    get_pipeline,
    list_at_step,
    list_stuck,
)
from handrail.enrollments.queries.progress import list_own_progress
from handrail.enrollments.queries.steps import list_steps
from handrail.organizations.identity import Identity, open_as
from tests.databases import Database
from tests.enrollments.crowd import add_crowd
from tests.factories import Organization, Program, World

ENROLLMENTS = 4000  # of each organization
GROWING = {
    "attention_items",
    "credentials",
    "enrollment_steps",
    "enrollments",
    "intents",
    "learners",
    "partner_accounts",
    "partner_certificates",
    "partner_lms_enrollments",
    "step_events",
}


class Years:
    """Two organizations with years behind them; questions are asked by the first one's staff."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.organization, self.program = self._load()
        self._load()
        world.admin.execute("vacuum analyze")
        ((enrollment, learner),) = world.rows(
            "select id, learner_id from enrollments where organization_id = %s and status = 'active' limit 1",
            self.organization.id,
        )
        self.enrollment: UUID = enrollment
        self.course: UUID = world.value(
            "select course_id from program_partner_lms where program_version_id = %s and sequence_order = 2",
            self.program.version,
        )
        student = world.profile()
        world.admin.execute("update learners set profile_id = %s where id = %s", [student, learner])
        self.staff = Identity(uuid4(), self.organization.id, "staff")
        self.student = Identity(student)

    def _load(self) -> tuple[Organization, Program]:
        world = self.world
        organization = world.organization()
        provider = world.provider(organization)
        program = world.program(organization, *world.courses(provider, 3))
        add_crowd(world, program, ENROLLMENTS)
        return organization, program


@pytest.fixture
def years(database: Database) -> Iterator[Years]:
    world = World(database)
    yield Years(world)
    world.close()


def find_scans(plan: dict[str, Any]) -> list[str]:
    """The growing tables that a plan reads from one end to the other."""
    found = [scan for each in plan.get("Plans", []) for scan in find_scans(each)]
    if plan["Node Type"] == "Seq Scan" and plan["Relation Name"] in GROWING:
        found.append(plan["Relation Name"])
    return found


def explain(identity: Identity, ask: Callable[[], object]) -> list[str]:
    """Ask, then explain what was asked, as the same person."""
    with open_as(identity):
        with CaptureQueriesContext(connection) as captured:
            ask()
        found = []
        for query in captured.captured_queries:
            with connection.cursor() as cursor:
                cursor.execute(f"explain (format json) {query['sql']}")
                ((text,),) = cursor.fetchall()
            (plan,) = json.loads(text) if isinstance(text, str) else text
            found += find_scans(plan["Plan"])
        return found


def test_no_page_reads_a_whole_table(years: Years, database: Database) -> None:
    organization = years.organization.id
    database.use_django_as("web")
    questions: dict[str, tuple[Identity, Callable[[], object]]] = {
        "figures": (years.staff, lambda: get_pipeline(organization)),
        "stuck": (years.staff, lambda: list_stuck(organization, now=timezone.now())),
        "at a step": (
            years.staff,
            lambda: list_at_step(
                organization,
                program_id=years.program.id,
                course_id=years.course,
                status="in_progress",
            ),
        ),
        "attention": (years.staff, lambda: list_attention(organization)),
        "count": (years.staff, lambda: count_open_items(organization, at_most=100)),
        "people": (years.staff, lambda: list_learners(organization)),
        "of a program": (
            years.staff,
            lambda: list_enrolled(organization, program_id=years.program.id, status="completed"),
        ),
        "search": (years.staff, lambda: list_learners(organization, search="first17")),
        "file": (years.staff, lambda: read_export_page(organization)),
        "enrollment": (years.staff, lambda: get_enrollment(years.enrollment)),
        "steps": (years.staff, lambda: list_steps([years.enrollment])),
        "history": (years.staff, lambda: list_changes(years.enrollment)),
        "credentials": (years.staff, lambda: list_credentials([years.enrollment])),
        "progress": (years.student, list_own_progress),
        "own credentials": (years.student, lambda: list_credentials([years.enrollment])),
    }
    scans = {name: explain(identity, ask) for name, (identity, ask) in questions.items()}

    assert scans == {name: [] for name in questions}


def test_a_page_of_a_step_reads_no_more_than_a_page(years: Years, database: Database) -> None:
    database.use_django_as("web")
    with open_as(years.staff):
        with CaptureQueriesContext(connection) as captured:
            page = list_at_step(
                years.organization.id,
                program_id=years.program.id,
                course_id=years.course,
                status="in_progress",
            )
        with connection.cursor() as cursor:
            cursor.execute(f"explain (analyze, format json) {captured.captured_queries[0]['sql']}")
            ((text,),) = cursor.fetchall()
    (plan,) = json.loads(text) if isinstance(text, str) else text
    assert len(page.rows) == AT_STEP_PAGE < ENROLLMENTS // 50
    assert count_read(plan["Plan"], "enrollment_steps_status") == AT_STEP_PAGE + 1


def test_a_page_of_a_program_reads_no_more_than_a_page(years: Years, database: Database) -> None:
    database.use_django_as("web")
    with open_as(years.staff):
        with CaptureQueriesContext(connection) as captured:
            page = list_enrolled(
                years.organization.id, program_id=years.program.id, status="completed"
            )
        with connection.cursor() as cursor:
            cursor.execute(f"explain (analyze, format json) {captured.captured_queries[0]['sql']}")
            ((text,),) = cursor.fetchall()
    (plan,) = json.loads(text) if isinstance(text, str) else text
    assert len(page.rows) == PEOPLE_PAGE
    assert count_read(plan["Plan"], "enrollments_program") == PEOPLE_PAGE + 1


def count_read(plan: dict[str, Any], index: str) -> float:
    """How many rows a plan that was run got from an index."""
    own = plan["Actual Rows"] * plan["Actual Loops"] if plan.get("Index Name") == index else 0.0
    return own + sum(count_read(each, index) for each in plan.get("Plans", []))


def test_pages_find_what_they_ask_for_among_many(years: Years, database: Database) -> None:
    organization = years.organization.id
    database.use_django_as("web")
    with open_as(years.staff):
        stuck = list_stuck(organization, now=timezone.now())
        pipeline = get_pipeline(organization)
        people = list_learners(organization, search="first17")
    with open_as(years.student):
        (own,) = list_own_progress()

    (program,) = pipeline.programs
    assert (len(stuck.rows), stuck.next != "") == (25, True)
    assert (program.active, program.completed) == (ENROLLMENTS // 50, ENROLLMENTS * 49 // 50)
    assert [line.in_progress for line in program.steps] == [0, ENROLLMENTS // 50, 0]
    assert {row.first_name[:7] for row in people.rows} == {"First17"}
    assert own.id == years.enrollment


def test_the_search_inside_its_function_uses_its_index(years: Years) -> None:
    with years.world.admin.transaction():
        years.world.admin.execute("set local role handrail_machine")
        rows = years.world.rows(
            "explain select id from learners where organization_id = %s "
            "and learner_document(first_name, last_name, email_normalized) @@ to_tsquery('simple', %s) "
            "order by last_name, first_name, id limit 26",
            years.organization.id,
            "'first1777':*",
        )
    assert any("learners_search" in line for (line,) in rows), rows
