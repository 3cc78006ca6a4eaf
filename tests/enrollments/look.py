"""What the database says of an enrollment, in short texts that a test compares with `==`."""

from uuid import UUID

from tests.factories import Course, Enrollment, Learner, World


def see(world: World, enrollment: Enrollment) -> str:
    """The enrollment's status, then those of its steps in order: `active: completed, pending`."""
    (status,) = world.column("select status from enrollments where id = %s", enrollment.id)
    steps = world.column(
        "select status || case when attempt > 1 then ' #' || attempt else '' end "
        "from enrollment_steps where enrollment_id = %s order by sequence_order, program_step_id",
        enrollment.id,
    )
    return f"{status}: {', '.join(steps)}"


def see_runs(world: World, learner: Learner, course: Course) -> list[str]:
    """The statuses of the person's runs of that course, the oldest first."""
    return world.column(
        "select status from partner_lms_enrollments where learner_id = %s and course_id = %s "
        "order by run",
        learner.id,
        course.id,
    )


def see_calls(world: World, learner: Learner) -> list[str]:
    """Every call for that person in order: `enroll done`, `unenroll queued`, `enroll queued held`."""
    return world.column(
        "select i.kind || ' ' || i.status "
        "|| case when i.held and i.status not in ('done', 'canceled') then ' held' else '' end "
        "from intents i join partner_accounts a on a.id = i.partner_account_id "
        "where a.learner_id = %s order by i.id",
        learner.id,
    )


def see_changes(world: World, enrollment: Enrollment, course: Course | None = None) -> list[str]:
    """The history of the enrollment, or of one of its steps: `pending > active (approval)`."""
    return world.column(
        "select e.from_status || ' > ' || e.to_status || ' (' || e.cause_kind || ')' "
        "from step_events e left join enrollment_steps s on s.id = e.step_id "
        "where e.enrollment_id = %s and s.course_id is not distinct from %s order by e.id",
        enrollment.id,
        course and course.id,
    )


def see_credentials(world: World, enrollment: Enrollment) -> list[str]:
    """The enrollment's credentials, the oldest first: `revoked`, `valid`."""
    return world.column(
        "select case when revoked_at is null then 'valid' else 'revoked' end "
        "from credentials where enrollment_id = %s order by issued_at",
        enrollment.id,
    )


def see_attention(world: World) -> list[str]:
    """The kinds of the open entries of the attention list."""
    return world.column(
        "select kind from attention_items where resolved_at is null order by opened_at, kind"
    )


def find_run(world: World, learner: Learner, course: Course) -> UUID:
    """The newest run."""
    (run,) = world.column(
        "select id from partner_lms_enrollments where learner_id = %s and course_id = %s "
        "order by run desc limit 1",
        learner.id,
        course.id,
    )
    assert isinstance(run, UUID)
    return run
