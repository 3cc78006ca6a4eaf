"""Moving times: one rule for all tables, nothing else changes, what followed still follows."""

import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handrail.config.example.clock import Clock, Slice, move_times
from handrail.config.example.study import spread_study
from tests.databases import Database
from tests.factories import World

DAY = datetime(2020, 5, 1, 14, tzinfo=UTC)
HOURS = timedelta(hours=6)
SCHEMA = Path(__file__).parents[3] / "src/handrail_sandbox/schema.sql"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state.sqlite"
    with sqlite3.connect(path) as theirs:
        theirs.executescript(SCHEMA.read_text())
    theirs.close()
    return path


def test_slices_follow_one_another_without_a_gap() -> None:
    clock = Clock()
    for day in range(3):
        with clock.show_as(DAY + timedelta(days=day), HOURS):
            time.sleep(0.01)

    slices = clock.close_gaps()

    assert [each.shown for each in slices] == [DAY + timedelta(days=day) for day in range(3)]
    assert [each.began for each in slices[1:]] == [each.ended for each in slices[:-1]]
    assert all(
        each.stretch * (each.ended - each.began) == pytest.approx(HOURS, abs=timedelta(seconds=1))
        for each in slices
    )


def test_time_does_not_go_backwards() -> None:
    clock = Clock()
    with clock.show_as(DAY, HOURS):
        pass

    with (
        pytest.raises(ValueError, match="time went backwards"),
        clock.show_as(DAY + HOURS / 2, HOURS),
    ):
        pass


def test_every_time_of_a_slice_is_moved_and_no_other(database: Database, state: Path) -> None:
    world = World(database)
    organization = world.organization()
    course = world.course(world.provider(organization))
    program = world.program(organization, course)
    learner = world.learner(organization)
    began = read_clock(world)
    enrollment = world.enroll(learner, program)
    world.answer_calls()
    long_before = datetime(2019, 1, 1, tzinfo=UTC)
    world.report("course.completed", learner, course, occurred_at=long_before)
    ended = read_clock(world)
    before = read_rows(world)
    world.close()
    slice_ = Slice(began, ended, DAY, HOURS)

    move_times([slice_], admin_dsn=database.dsn("superuser"), state=state)

    world = World(database)
    assert read_rows(world) == {
        table: [{name: move(value, slice_) for name, value in row.items()} for row in rows]
        for table, rows in before.items()
    }
    ((start, done, completed),) = world.rows(
        "select e.start_at, s.completed_at, e.completed_at from enrollments e"
        " join enrollment_steps s on s.enrollment_id = e.id where e.id = %s",
        enrollment.id,
    )
    assert (start.year, done) == (2025, long_before)  # what is no time of writing stays
    assert DAY <= completed < DAY + HOURS
    assert world.value("select max(created_at) from organizations") < began  # before the slice
    world.close()


def read_clock(world: World) -> datetime:
    moment = world.value("select clock_timestamp()")
    assert isinstance(moment, datetime)
    return moment


def read_rows(world: World) -> dict[str, list[dict[str, Any]]]:
    tables = (
        *(
            "organizations",
            "learners",
            "enrollments",
            "enrollment_requirements",
            "enrollment_steps",
        ),
        *("step_events", "partner_accounts", "partner_lms_enrollments", "intents", "credentials"),
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for table in tables:
        cursor = world.admin.execute(f"select * from {table} order by id".encode())
        names = [column.name for column in cursor.description or ()]
        found[table] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return found


def move(value: object, slice_: Slice) -> object:
    """The rule, as it stands in the module's docstring."""
    if isinstance(value, datetime) and slice_.began <= value < slice_.ended:
        moved = slice_.shown + (value - slice_.began) * slice_.stretch
        return pytest.approx(moved, abs=timedelta(microseconds=10))
    return value


def test_the_sandboxes_times_are_moved_too(database: Database, state: Path) -> None:
    began = datetime.now(UTC)
    write_enrollment(state, created_at=began.timestamp() + 1, closed_at=100.0)
    slice_ = Slice(began, began + timedelta(seconds=2), DAY, HOURS)

    move_times([slice_], admin_dsn=database.dsn("superuser"), state=state)

    with sqlite3.connect(state) as theirs:
        ((created, closed),) = theirs.execute("select created_at, closed_at from enrollments")
    theirs.close()
    assert created == pytest.approx((DAY + HOURS / 2).timestamp(), abs=0.01)
    assert closed == 100.0  # the partner dated it


def write_enrollment(state: Path, **more: object) -> None:
    with sqlite3.connect(state) as theirs:
        theirs.execute(
            "insert into accounts (id, partner, first_name, last_name, email, email_key, search_key,"
            " username, created_at) values ('A', 'milady', 'Ann', '', 'a@x', 'a@x', 'a', 'a', 0)"
        )
        names = ["id", "partner", "account", "course", *more]
        theirs.execute(
            f"insert into enrollments ({', '.join(names)}) values ({', '.join('?' * len(names))})",
            ("E", "milady", "A", "C", *more.values()),
        )
    theirs.close()


def test_study_goes_on_soon_and_from_where_it_was(state: Path) -> None:
    write_enrollment(state, created_at=0.0, percent=55.0, study_next_at=1.0)
    with sqlite3.connect(state) as theirs:
        theirs.execute("insert into settings values ('paused_study', 'yes')")
    theirs.close()

    spread_study(state, seconds=500)

    with sqlite3.connect(state) as theirs:
        ((at, step),) = theirs.execute("select study_next_at, study_step from enrollments")
        paused = theirs.execute("select value from settings where name = 'paused_study'").fetchall()
    theirs.close()
    assert 14 < at - time.time() <= 115
    assert (step, paused) == (2, [("no",)])
