"""Jobs and timers of the worker: certificates, start dates; tried again, resumed after kill -9."""

import io
import threading
import time
from uuid import UUID

import pypdf
import pytest
from django.utils.module_loading import import_string

from handrail.core.jobs import jobs, timers
from handrail.credentials.actions import correct_name, reissue
from handrail.credentials.jobs import enqueue_lost_certificates, make_certificate
from tests.provisioning.test_worker_process import run_worker_process
from tests.provisioning.world import World, run_worker_here, wait_until


def complete_enrollment(world: World, program: UUID, name: str = "Alice") -> UUID:
    """An enrollment whose one step staff marked completed; return its credential."""
    enrollment = world.enroll(program, world.add_learner(name))
    world.rows(
        "select complete_step(%s, '2026-01-06', 'seen on paper')", world.get_step(enrollment)
    )
    credential: UUID = world.value(
        "select id from credentials where enrollment_id = %s", enrollment
    )
    return credential


def add_link_program(world: World) -> UUID:
    return world.add_program([world.add_course(world.add_provider("jri", mode="link"), "JRI-WORK")])


def get_pdf_status(world: World, credential: UUID) -> str:
    return str(world.value("select pdf_status from credentials where id = %s", credential))


def test_a_certificate_is_rendered_after_its_credential_was_issued(world: World) -> None:
    credential = complete_enrollment(world, add_link_program(world))
    assert get_pdf_status(world, credential) == "pending"
    with run_worker_here("jobs"):
        wait_until(lambda: get_pdf_status(world, credential) == "rendered")
    pdf = world.value("select pdf from credential_documents where credential_id = %s", credential)
    text = pypdf.PdfReader(io.BytesIO(pdf)).pages[0].extract_text()
    number = world.value("select number from credentials")
    for words in ("North Academy", "Alice Example", "The JRI-WORK", "January 6, 2026", number):
        assert words in text
    assert world.value("select count(*) from pgqueuer") == 0


def test_a_name_that_no_font_can_show_is_told_and_the_credential_stands(world: World) -> None:
    credential = complete_enrollment(world, add_link_program(world), "\N{GRINNING FACE}")
    with run_worker_here("jobs"):
        wait_until(lambda: get_pdf_status(world, credential) == "needs_attention")
    ((kind, words),) = world.list_attention()
    assert kind == "certificate"
    assert words.startswith("The certificate's fonts lack letters:")
    assert "grinning face" in words
    assert words.endswith(
        "It is in the person's name, which may be right: agree with the person on how to write it in "
        "letters that can be printed, and correct the name. The certificate is then issued anew."
    )
    assert world.value("select revoked_at is null from credentials") is True


def test_the_corrected_name_gets_its_certificate(world: World) -> None:
    credential = complete_enrollment(world, add_link_program(world), "\N{GRINNING FACE}")
    with run_worker_here("jobs"):
        wait_until(lambda: get_pdf_status(world, credential) == "needs_attention")
        enrollment = world.value("select id from enrollments")
        correct_name(enrollment, first_name="Grace", last_name="Hopper", reason="an emoji")
        new = world.value("select id from credentials where supersedes = %s", credential)
        wait_until(lambda: get_pdf_status(world, new) == "rendered")
    assert world.list_attention() == []


@pytest.mark.parametrize(
    ("table", "column", "words"),
    [
        ("organizations", "name", "It is in the organization's name"),
        (
            "partner_lms_courses",
            "title",
            "It is in the title of the program, or in that of a course",
        ),
        ("programs", "title", "It is in the title of the program, or in that of a course"),
    ],
)
def test_what_is_to_be_corrected_is_named(
    world: World, table: str, column: str, words: str
) -> None:
    program = add_link_program(world)
    with world.database.connect("superuser") as superuser:
        superuser.execute(f"update {table} set {column} = %s".encode(), ["\N{GRINNING FACE}"])
    credential = complete_enrollment(world, program)
    make_certificate(str(credential))
    ((_, told),) = world.list_attention()
    assert words in told
    with world.database.connect("superuser") as superuser:
        superuser.execute(f"update {table} set {column} = 'Nails'".encode())
    enrollment = world.value("select id from enrollments")
    reissue(enrollment, reason="the title is corrected")
    new = world.value("select id from credentials where revoked_at is null")
    make_certificate(str(new))
    assert (get_pdf_status(world, new), world.list_attention()) == ("rendered", [])


def test_a_revoked_credential_that_cannot_be_rendered_bothers_nobody(world: World) -> None:
    credential = complete_enrollment(world, add_link_program(world), "\N{GRINNING FACE}")
    reissue(world.value("select id from enrollments"), reason="again")
    make_certificate(str(credential))
    assert world.list_attention() == []


def test_after_kill_9_the_certificates_are_all_rendered_once(world: World) -> None:
    program = add_link_program(world)
    credentials = [complete_enrollment(world, program) for _ in range(60)]
    rendered = "select count(*) from credential_documents"
    with run_worker_process(world) as worker:
        wait_until(lambda: world.value(rendered) > 5)
        worker.kill()
    assert world.value(rendered) < len(credentials)
    with run_worker_here("jobs"):
        wait_until(lambda: world.value(rendered) == len(credentials), seconds=30)
    assert world.value("select count(*) from credentials where pdf_status <> 'rendered'") == 0


def test_a_job_that_was_lost_is_given_again(world: World) -> None:
    credential = complete_enrollment(world, add_link_program(world))
    world.rows("delete from pgqueuer")
    enqueue_lost_certificates()
    assert world.value("select count(*) from pgqueuer") == 0
    with world.database.connect("superuser") as superuser:
        superuser.execute("update credentials set issued_at = now() - interval '11 minutes'")
    enqueue_lost_certificates()
    enqueue_lost_certificates()
    assert world.rows("select convert_from(payload, 'UTF8') from pgqueuer") == [(str(credential),)]


def test_a_rendered_certificate_is_not_rendered_again(world: World) -> None:
    credential = complete_enrollment(world, add_link_program(world))
    with run_worker_here("jobs"):
        wait_until(lambda: get_pdf_status(world, credential) == "rendered")
        at = world.value("select rendered_at from credential_documents")
        world.rows("select enqueue_jobs('render_certificate', array[%s::uuid])", credential)
        wait_until(lambda: world.value("select count(*) from pgqueuer") == 0)
    assert world.value("select rendered_at from credential_documents") == at


def test_an_enrollment_starts_when_its_date_has_come(world: World) -> None:
    program = add_link_program(world)
    enrollment = world.enroll(program, start="2099-01-05")
    assert world.get_run(enrollment) == {}
    with run_worker_here("jobs"):
        with world.database.connect("superuser") as superuser:
            superuser.execute("update enrollments set start_at = now()")
        wait_until(lambda: world.get_run(enrollment).get("status") == "active")
    assert world.rows(
        "select cause_kind, reason from step_events where to_status = 'in_progress'"
    ) == [("timer", "the start date has come")]


_calls: list[str] = []
_ended = threading.Event()


def fail_once(payload: str) -> None:
    _calls.append(payload)
    if len(_calls) == 1:
        raise RuntimeError("not today")


def note(payload: str) -> None:
    _calls.append(payload)


def run_slowly(payload: str) -> None:
    _calls.append(payload)
    time.sleep(1.0)
    _ended.set()


@pytest.fixture(autouse=True)
def forget() -> None:
    _calls.clear()
    _ended.clear()


def test_a_job_that_raises_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(jobs, "flaky", f"{__name__}.fail_once")
    world.rows("select enqueue_jobs('flaky', array[%s::uuid])", world.organization)
    with run_worker_here("jobs"):
        wait_until(lambda: len(_calls) == 2)
    assert set(_calls) == {str(world.organization)}


def test_a_job_in_hand_is_finished_when_the_worker_stops(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(jobs, "slow", f"{__name__}.run_slowly")
    world.rows("select enqueue_jobs('slow', array[%s::uuid])", world.organization)
    with run_worker_here("jobs"):
        wait_until(lambda: _calls)
    assert _ended.is_set()
    assert world.value("select count(*) from pgqueuer") == 0


def test_a_job_starts_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listening has a connection of its own, so that nothing waits for it."""
    monkeypatch.setitem(jobs, "note", f"{__name__}.note")
    taken = 0.0
    with run_worker_here("jobs"):
        for number in range(3):
            began = time.monotonic()
            world.rows("select enqueue_jobs('note', array[uuidv7()])")
            wait_until(lambda: len(_calls) > number)  # noqa: B023 - waited for in this round
            time.sleep(0.3)
            taken = time.monotonic() - began - 0.3
    assert taken < 0.5


def test_jobs_go_on_after_the_connection_was_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(jobs, "note", f"{__name__}.note")
    with run_worker_here("jobs"):
        world.rows("select enqueue_jobs('note', array[uuidv7()])")
        wait_until(lambda: _calls)
        with world.database.connect("superuser") as superuser:
            superuser.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where application_name like 'handrail jobs%'"
            )
        world.rows("select enqueue_jobs('note', array[uuidv7()])")
        wait_until(lambda: len(_calls) == 2)


def test_every_registered_function_exists() -> None:
    paths = [*jobs.values(), *(timer.function for timer in timers.values())]
    assert all(callable(import_string(path)) for path in paths)
    assert {"render_certificate"} <= jobs.keys()
    assert {"start_due_enrollments", "enqueue_lost_certificates"} <= timers.keys()
