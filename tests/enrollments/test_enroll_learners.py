"""Enrolling many at once writes what enrolling one by one writes."""

from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.factories import (
    LONG_AGO,
    Course,
    Electives,
    Learner,
    Organization,
    Program,
    World,
    claims_of,
)

# Everything that enrolling writes, by names that are the same in both organizations.
WRITTEN = {
    "enrollments": """
        select l.first_name, p.title, v.number, e.status, e.funding_source, e.start_date, e.start_at,
               e.started_at is null, e.activated_at is null, e.completed_at
        from enrollments e join learners l on l.id = e.learner_id join programs p on p.id = e.program_id
        join program_versions v on v.id = e.program_version_id""",
    "requirements": """
        select l.first_name, p.title, q.kind, q.met_at is null, q.cause
        from enrollment_requirements q join enrollments e on e.id = q.enrollment_id
        join learners l on l.id = e.learner_id join programs p on p.id = e.program_id""",
    "steps": """
        select l.first_name, p.title, c.title, s.sequence_order, s.required, s.elective_choose,
               s.demands_new_run, s.status, s.attempt, s.chosen_at, s.progress, s.started_at is null,
               s.completed_at, r.run, r.status
        from enrollment_steps s join enrollments e on e.id = s.enrollment_id
        join learners l on l.id = s.learner_id join programs p on p.id = e.program_id
        join partner_lms_courses c on c.id = s.course_id
        left join partner_lms_enrollments r on r.id = s.partner_enrollment_id""",
    "events": """
        select l.first_name, p.title, c.title, v.attempt, v.from_status, v.to_status, v.cause_kind,
               v.cause_id is null, v.actor_id, v.reason
        from step_events v join enrollments e on e.id = v.enrollment_id
        join learners l on l.id = e.learner_id join programs p on p.id = e.program_id
        left join enrollment_steps s on s.id = v.step_id
        left join partner_lms_courses c on c.id = s.course_id""",
    "accounts": """
        select l.first_name, p.name, a.external_id
        from partner_accounts a join learners l on l.id = a.learner_id
        join partner_lms_providers p on p.id = a.provider_id""",
    "runs": """
        select l.first_name, c.title, r.run, r.status, r.counts_from
        from partner_lms_enrollments r join learners l on l.id = r.learner_id
        join partner_lms_courses c on c.id = r.course_id""",
    "calls": """
        select l.first_name, p.name, c.title, i.kind, i.status, i.held, i.uncertain
        from intents i join partner_accounts a on a.id = i.partner_account_id
        join learners l on l.id = a.learner_id join partner_lms_providers p on p.id = i.provider_id
        left join partner_lms_enrollments r on r.id = i.partner_enrollment_id
        left join partner_lms_courses c on c.id = r.course_id""",
}


class School:
    """An organization with every kind of program, and people; the same by every name each time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.organization: Organization = world.organization(zone="Asia/Tokyo")
        shop = world.provider(self.organization, name="Shop", mode="link")
        lab = world.provider(self.organization, name="Lab", adapter="nds")
        first, second, third = (self._name(world.course(lab), f"Lab {n}") for n in range(3))
        linked = self._name(world.course(shop), "Linked")
        self.programs = [
            world.program(self.organization, linked, first, second),
            world.program(self.organization, [first, second], third),
            world.program(self.organization, [linked, Electives(1, [first, third])]),
            world.program(self.organization, first, new_runs=[first]),
        ]
        for number, program in enumerate(self.programs):
            world.admin.execute(
                "update programs set title = %s where id = %s", [f"P{number}", program.id]
            )
        world.version(self.programs[3], 2, second)
        self.people = [world.learner(self.organization) for _ in range(3)]
        for number, learner in enumerate(self.people):
            world.admin.execute(
                "update learners set first_name = %s where id = %s", [f"L{number}", learner.id]
            )

    def _name(self, course: Course, title: str) -> Course:
        statement = "update partner_lms_courses set title = %s where id = %s"
        self.world.admin.execute(statement, [title, course.id])
        return course

    @property
    def wishes(self) -> list[tuple[Learner, Program, str, date]]:
        """Everybody in several programs, some of which begin later."""
        later = date.today() + timedelta(days=30)  # noqa: DTZ011 - a month makes the zone not matter
        everything = [(learner, program) for learner in self.people for program in self.programs]
        return [
            (learner, program, "WIOA" if at % 2 else "self_pay", later if at % 5 == 0 else LONG_AGO)
            for at, (learner, program) in enumerate(everything)
        ]

    def look(self) -> dict[str, list[tuple[object, ...]]]:
        aliases = {"enrollments": "e", "requirements": "q", "steps": "s", "events": "v"}
        aliases |= {"accounts": "a", "runs": "r", "calls": "i"}
        return {
            name: sorted(
                self.world.rows(
                    f"{query} where {aliases[name]}.organization_id = %s", self.organization.id
                ),
                key=str,
            )
            for name, query in WRITTEN.items()
        }


def enroll_together(world: World, wishes: Sequence[tuple[Learner, Program, str, date]]) -> None:
    world.service.execute(
        "select enroll_learners(%s::uuid[], %s::uuid[], %s::text[], %s::date[])",
        [
            [learner.id for learner, *_ in wishes],
            [program.id for _, program, *_ in wishes],
            [funding for *_, funding, _ in wishes],
            [start for *_, start in wishes],
        ],
    )


def enroll_apart(world: World, wishes: Sequence[tuple[Learner, Program, str, date]]) -> None:
    """As `create_enrollment` and `meet_requirement` do it, in one transaction."""
    with world.service.transaction():
        for learner, program, funding, start in wishes:
            id = world.call("create_enrollment", learner.id, program.id, funding, start)
            world.call("meet_requirement", id, "approved", "import")


@pytest.mark.every_postgres
def test_many_at_once_are_enrolled_as_one_by_one(world: World) -> None:
    together, apart = School(world), School(world)

    enroll_together(world, together.wishes)
    enroll_apart(world, apart.wishes)

    seen = together.look()
    assert seen == apart.look()
    counts = {name: len(rows) for name, rows in seen.items()}
    assert (counts["enrollments"], counts["requirements"], counts["steps"]) == (12, 12, 30)
    assert counts["runs"] > counts["accounts"] > 0
    assert counts["events"] > 12
    assert {row[3] for row in seen["enrollments"]} == {"active"}


def test_nobody_at_all_is_no_work(world: World) -> None:
    enroll_together(world, [])

    assert world.value("select count(*) from enrollments") == 0


@pytest.mark.parametrize(
    "missing", ["learner", "program", "version", "foreign program", "archived"]
)
def test_one_that_cannot_be_enrolled_leaves_nobody_enrolled(world: World, missing: str) -> None:
    school, other = School(world), School(world)
    good = school.wishes[0]
    learner, program, *rest = good
    if missing == "learner":
        learner = Learner(uuid4(), school.organization, "")
    elif missing == "program":
        program = Program(uuid4(), uuid4(), school.organization)
    elif missing == "version":
        id = world.insert(
            "programs", organization_id=school.organization.id, slug="draft", title="Draft"
        )
        program = Program(id, id, school.organization)
    elif missing == "archived":
        program = school.programs[-1]
        world.admin.execute("update programs set archived_at = now() where id = %s", [program.id])
    else:
        program = other.programs[0]

    with pytest.raises(psycopg.errors.NoDataFound):
        enroll_together(world, [good, (learner, program, *rest)])  # type: ignore[list-item]  # funding, start

    assert world.value("select count(*) from enrollments") == 0


def test_only_the_service_role_may_do_it(world: World) -> None:
    school = School(world)
    owner: UUID = world.profile(school.organization, "owner")

    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        world.as_person(claims_of(school.organization, "owner", owner)) as web,
    ):
        web.execute("select enroll_learners('{}', '{}', '{}', '{}')")
