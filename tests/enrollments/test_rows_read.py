"""What the machine reads does not grow with the number of people that a partner has."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.databases import Database
from tests.enrollments import tours
from tests.enrollments.crowd import add_crowd
from tests.enrollments.tours import Story
from tests.factories import Program, World

CROWD = 300
Reads = dict[str, int]


class CrowdedWorld(World):
    """Each program has many more people; what the superuser reads is not counted."""

    def __init__(self, database: Database, crowd: int) -> None:
        super().__init__(database)
        self._crowd = crowd
        self.admin.execute("set track_counts = off")

    def version(self, program: Program, number: int, *stages: object, **more: object) -> Program:
        made = super().version(program, number, *stages, **more)  # type: ignore[arg-type]
        add_crowd(self, made, self._crowd)
        self.admin.execute("vacuum analyze")  # planning looks at dead entries too
        return made


def report_in_every_way(world: World) -> None:
    """By an id that nobody knows, by the account, by the person."""
    story = Story(world, 0, 0, 0).make_account()
    for by in (
        {"by": "account"},
        {"by": "account", "learner_id": story.ada.id},
        {"by": "external"},
    ):
        world.apply(world.event("progress.updated", story.ada, story.first, percent=5, **by))
    unknown = {"external_enrollment_id": "nobody's", "account_external_id": "nobody's"}
    event = world.event("course.completed", story.ada, story.courses[1], by="account")
    world.apply({**event, **unknown}, {**event, **unknown, "run_id": uuid4()})
    stranger = world.learner(story.program.organization)
    world.apply({**event, "account_external_id": "", "learner_id": stranger.id})


def look_after_everything(world: World) -> None:
    """What the worker does by the clock."""
    story = Story(world)
    world.claim()
    world.admin.execute("update intents set lease_until = now() where status = 'sending'")
    world.call("expire_leases")
    for call in world.claim():
        world.record(call, "needs_person", cause="credentials", error="401")
    world.call("retry_provider_calls", story.partner.id, "again")
    world.call("release_providers")
    world.call("start_due_enrollments", 100)
    (call,) = world.claim()
    world.call("save_call_facts", call.intent, call.fence, "{}")


def count_reads(database: Database, tour: Callable[[World], None], *, crowd: int) -> Reads:
    """The rows of each table that the service role reads on a tour."""
    question = "select relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) from pg_stat_user_tables"
    world = CrowdedWorld(database, crowd)
    world.service.execute("select pg_stat_force_next_flush()")
    before: Reads = dict(world.rows(question))
    tour(world)
    world.service.close()  # which tells the statistics
    with database.connect("superuser") as reader:
        after: Reads = dict(reader.execute(question).fetchall())
    world.close()
    return {table: after[table] - before[table] for table in after}


@pytest.mark.parametrize(
    "tour", [*tours.ALL, report_in_every_way, look_after_everything], ids=lambda tour: tour.__name__
)
def test_a_tour_reads_no_more_rows_in_a_crowd(
    database: Database, tour: Callable[[World], None]
) -> None:
    alone, crowded = (count_reads(database, tour, crowd=crowd) for crowd in (0, CROWD))

    more = {table: crowded[table] - rows for table, rows in alone.items()}
    assert {table: count for table, count in more.items() if count >= CROWD} == {}
    assert sum(alone.values()) > 0
