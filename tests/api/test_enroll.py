"""The origin's enroll calls: who may, what they start, what they answer."""

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from handrail.organizations.models import Organization
from handrail.people.actions import add_member, create_profile
from tests.databases import Database
from tests.provisioning.world import World

TOKEN = "service-token-of-the-tests-0123456789"
PASSWORD = "correct horse battery staple"
ENROLL = "/api/partner/enroll"
MILADY = "/api/milady/auto-enroll"


@pytest.fixture
def world(database: Database, settings: Settings) -> Iterator[World]:
    settings.HANDRAIL_SERVICE_TOKEN = TOKEN
    world = World(database)
    yield world
    world.close()


def ask(
    client: Client, path: str, body: Any, *, token: str | None = TOKEN, status: int = 200
) -> dict[str, Any]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    response = client.post(path, body, content_type="application/json", headers=headers)
    assert response.status_code == status, response.content
    answer: dict[str, Any] = response.json()
    return answer


def sign_in(world: World, *, role: str = "staff", organization: UUID | None = None) -> Client:
    """Somebody who works in an organization, signed in as in a browser that checks CSRF tokens."""
    profile = create_profile(email=f"{uuid4()}@example.org", password=PASSWORD)
    if role:
        place = Organization.objects.get(id=organization or world.organization)
        add_member(place, profile, role=role)
    world.database.use_django_as("web")
    client = Client(enforce_csrf_checks=True)
    client.get("/accounts/login/")
    answer = client.post(
        "/accounts/login/",
        {"login": profile.email, "password": PASSWORD, "csrfmiddlewaretoken": get_csrf(client)},
    )
    assert answer.status_code == 302, answer.content
    return client


def get_csrf(client: Client) -> str:
    return client.cookies["csrf"].value


@pytest.fixture
def program(world: World) -> UUID:
    milady = world.add_provider("milady")
    jri = world.add_provider("jri", mode="link")
    return world.add_program(
        [world.add_course(milady, "MIL-1")],
        [world.add_course(jri, "JRI-1"), world.add_course(milady, "MIL-2")],
    )


def enroll_late(world: World, program: UUID) -> UUID:
    """An active enrollment whose start date has come and that nobody started yet."""
    enrollment = world.enroll(program, start="2099-01-05")
    with world.database.connect("superuser") as superuser:
        superuser.execute("update enrollments set start_at = now() where id = %s", (enrollment,))
    return enrollment


def test_a_service_starts_an_enrollment_and_a_repeat_starts_nothing_again(
    world: World, program: UUID
) -> None:
    enrollment = enroll_late(world, program)
    world.database.use_django_as("web")
    answer = ask(Client(), ENROLL, {"enrollment_id": str(enrollment)})
    first, *rest = answer["steps"]
    assert (answer["enrollment_id"], answer["status"]) == (str(enrollment), "active")
    assert first == {
        "step_id": str(world.get_step(enrollment)),
        "course": "The MIL-1",
        "provider": "Milady",
        "required": True,
        "status": "in_progress",
        "provisioning": "requested",
        "partner_enrollment_id": None,
        "words": "The call to Milady to make the account is on its way",
    }
    assert {(each["status"], each["provisioning"]) for each in rest} == {("pending", "not_started")}
    again = ask(Client(), ENROLL, {"enrollment_id": str(enrollment)})
    assert (again, len(world.list_intents())) == (answer, 1)
    assert world.rows(
        "select distinct cause_kind, actor_id, reason from step_events where to_status = 'in_progress'"
    ) == [("person", None, "asked to start what is due")]


def test_a_service_works_as_staff_where_the_row_belongs(world: World, program: UUID) -> None:
    enrollment = enroll_late(world, program)
    world.database.use_django_as("web")
    with CaptureQueriesContext(connection) as captured:
        ask(Client(), ENROLL, {"enrollment_id": str(enrollment)})

    set_last = [each["sql"] for each in captured if "request.jwt.claims" in each["sql"]][-1]
    (claims,) = re.findall(r"{.*}", set_last)
    assert json.loads(claims) == {
        "sub": None,
        "organization_id": str(world.organization),
        "org_role": "staff",
    }


def test_a_step_is_answered_for_alone(world: World, program: UUID) -> None:
    step = world.get_step(enroll_late(world, program))
    world.database.use_django_as("web")
    answer = ask(Client(), ENROLL, {"step_id": str(step)})
    assert [each["step_id"] for each in answer["steps"]] == [str(step)]
    assert answer["steps"][0]["status"] == "in_progress"


def test_all_required_milady_steps_of_a_student_are_answered_for(
    world: World, program: UUID
) -> None:
    enrollment = enroll_late(world, program)
    student = world.value("select learner_id from enrollments")
    world.database.use_django_as("web")
    body = {"student_id": str(student), "program_id": str(program)}
    answer = ask(Client(), MILADY, body)
    assert answer["enrollment_id"] == str(enrollment)
    assert [(each["course"], each["status"]) for each in answer["steps"]] == [
        ("The MIL-1", "in_progress"),
        ("The MIL-2", "pending"),
    ]


def test_an_active_run_tells_the_partners_id(world: World, program: UUID) -> None:
    enrollment = world.enroll(program)
    with world.database.connect("superuser") as superuser:
        superuser.execute(
            "update partner_lms_enrollments set status = 'active', external_enrollment_id = 'MIL-E-1'"
        )
    world.database.use_django_as("web")
    first = ask(Client(), ENROLL, {"enrollment_id": str(enrollment)})["steps"][0]
    assert (first["provisioning"], first["partner_enrollment_id"]) == ("active", "MIL-E-1")


def test_a_withdrawn_enrollment_is_told_and_not_started(world: World, program: UUID) -> None:
    enrollment = enroll_late(world, program)
    world.rows("select withdraw_enrollment(%s, 'moved')", enrollment)
    world.database.use_django_as("web")
    answer = ask(Client(), ENROLL, {"enrollment_id": str(enrollment)})
    assert (answer["status"], {each["status"] for each in answer["steps"]}) == (
        "withdrawn",
        {"pending"},
    )


def test_staff_start_with_their_session_and_its_csrf_token(world: World, program: UUID) -> None:
    enrollment = enroll_late(world, program)
    alice = sign_in(world)
    body = {"enrollment_id": str(enrollment)}
    assert ask(alice, ENROLL, body, token=None, status=403) == {
        "error": "The CSRF token is missing or not valid."
    }
    assert world.get_run(enrollment) == {}
    answer = alice.post(
        ENROLL, body, content_type="application/json", headers={"X-CSRFToken": get_csrf(alice)}
    )
    assert (answer.status_code, answer.json()["status"]) == (200, "active")
    assert world.rows(
        "select cause_kind, actor_id is not null from step_events where to_status = 'in_progress'"
    ) == [("person", True)]


def test_staff_of_another_organization_see_nothing(world: World, program: UUID) -> None:
    enrollment = enroll_late(world, program)
    other = world.value(
        "insert into organizations (slug, name) values ('south', 'South') returning id"
    )
    charlie = sign_in(world, organization=other)
    headers = {"X-CSRFToken": get_csrf(charlie)}
    for path, body, field in (
        (ENROLL, {"enrollment_id": str(enrollment)}, "enrollment_id"),
        (ENROLL, {"step_id": str(world.get_step(enrollment))}, "step_id"),
        (
            MILADY,
            {
                "student_id": str(world.value("select learner_id from enrollments")),
                "program_id": str(program),
            },
            "program_id",
        ),
    ):
        answer = charlie.post(path, body, content_type="application/json", headers=headers)
        assert (answer.status_code, answer.json()["field"]) == (404, field)
    assert world.get_run(enrollment) == {}


def test_staff_who_are_learners_elsewhere_start_nothing_there(world: World, program: UUID) -> None:
    """Bob sees his own enrollment at North, and works at South."""
    enrollment = enroll_late(world, program)
    other = world.value(
        "insert into organizations (slug, name) values ('south', 'South') returning id"
    )
    bob = sign_in(world, organization=other)
    with world.database.connect("superuser") as superuser:
        superuser.execute("update learners set profile_id = (select id from profiles)")
    answer = bob.post(
        ENROLL,
        {"enrollment_id": str(enrollment)},
        content_type="application/json",
        headers={"X-CSRFToken": get_csrf(bob)},
    )
    assert (answer.status_code, answer.json()) == (403, {"error": "Only staff may do this."})
    assert world.get_run(enrollment) == {}


@pytest.mark.parametrize("role", ["", "partner"])
def test_those_who_are_no_staff_are_refused(world: World, program: UUID, role: str) -> None:
    enrollment = enroll_late(world, program)
    charlie = sign_in(world, role=role)
    answer = charlie.post(
        ENROLL,
        {"enrollment_id": str(enrollment)},
        content_type="application/json",
        headers={"X-CSRFToken": get_csrf(charlie)},
    )
    assert (answer.status_code, answer.json()) == (403, {"error": "Only staff may do this."})


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1], "é"])
def test_without_session_or_the_right_token_nobody_gets_in(world: World, token: str | None) -> None:
    world.database.use_django_as("web")
    ask(Client(), ENROLL, {"enrollment_id": str(uuid4())}, token=token, status=401)


def test_an_installation_without_a_service_token_takes_none(
    world: World, settings: Settings
) -> None:
    settings.HANDRAIL_SERVICE_TOKEN = ""
    world.database.use_django_as("web")
    ask(Client(), ENROLL, {"enrollment_id": str(uuid4())}, token="", status=401)


@pytest.mark.parametrize(
    ("path", "body", "status", "answer"),
    [
        (ENROLL, {}, 422, {"error": "enrollment_id is missing.", "field": "enrollment_id"}),
        (
            ENROLL,
            {"enrollment_id": "7"},
            422,
            {"error": "enrollment_id is not an id (a UUID).", "field": "enrollment_id"},
        ),
        (
            ENROLL,
            {"enrollment_id": 7},
            422,
            {"error": "enrollment_id is not an id (a UUID).", "field": "enrollment_id"},
        ),
        (
            ENROLL,
            {"enrollment_id": str(uuid4()), "step_id": str(uuid4())},
            422,
            {"error": "Send enrollment_id or step_id, not both.", "field": "step_id"},
        ),
        (
            ENROLL,
            {"enrollment_id": str(uuid4())},
            404,
            {"error": "There is no such enrollment.", "field": "enrollment_id"},
        ),
        (
            ENROLL,
            {"step_id": str(uuid4())},
            404,
            {"error": "There is no such step.", "field": "step_id"},
        ),
        (
            MILADY,
            {"student_id": str(uuid4())},
            422,
            {"error": "program_id is missing.", "field": "program_id"},
        ),
        (
            MILADY,
            {"student_id": str(uuid4()), "program_id": str(uuid4())},
            404,
            {"error": "There is no such student.", "field": "student_id"},
        ),
        (ENROLL, "[]", 400, {"error": "The body is not a JSON object."}),
        (ENROLL, "{", 400, {"error": "The body is not JSON."}),
        (ENROLL, "[" * 100_000, 400, {"error": "The body is not JSON."}),
    ],
)
def test_what_is_wrong_is_said_with_its_field(
    world: World, path: str, body: Any, status: int, answer: dict[str, str]
) -> None:
    world.database.use_django_as("web")
    assert ask(Client(), path, body, status=status) == answer


def test_a_program_without_milady_or_without_the_student_is_said(
    world: World, program: UUID
) -> None:
    elsewhere = world.add_program([world.add_course(world.add_provider("hsi"), "HSI-1")])
    alice = world.add_learner()
    world.enroll(elsewhere, alice)
    world.database.use_django_as("web")
    body = {"student_id": str(alice), "program_id": str(elsewhere)}
    assert ask(Client(), MILADY, body, status=422)["field"] == "program_id"
    body["program_id"] = str(program)
    assert ask(Client(), MILADY, body, status=404) == {
        "error": "This student has no enrollment in this program.",
        "field": "program_id",
    }


def test_only_post_and_only_json(world: World) -> None:
    world.database.use_django_as("web")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    got = Client().get(ENROLL, headers=headers)
    assert (got.status_code, got["Allow"]) == (405, "POST")
    form = Client().post(ENROLL, {"enrollment_id": str(uuid4())}, headers=headers)
    assert form.status_code == 415
    refused = Client().post(ENROLL, {}, content_type="application/json")
    assert (refused.status_code, refused["WWW-Authenticate"]) == (401, "Bearer")
    assert refused["Cache-Control"] == "no-store"
