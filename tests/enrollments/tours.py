"""Short stories that together go along every arrow of docs/reference/states.md."""

from collections.abc import Callable
from typing import Any

from tests.enrollments.look import find_run
from tests.factories import Call, Course, Electives, Enrollment, Learner, World

WHY = "a reason"


class Story:
    """One person in a program of one partner."""

    def __init__(self, world: World, *shape: int, mode: str = "api", unenroll: bool = True) -> None:
        """`shape`: electives in each stage, 0 for a required step."""
        self.world = world
        world.answer_calls()  # of the stories before
        organization = world.organization()
        self.partner = world.provider(organization, mode=mode, unenroll=unenroll)
        self.courses: list[Course] = []
        stages: list[Course | Electives] = []
        for electives in shape or (0,):
            here = world.courses(self.partner, electives or 1)
            self.courses += here
            stages.append(Electives(1, here) if electives else here[0])
        self.program = world.program(organization, *stages)
        self.ada: Learner = world.learner(organization)
        self.enrollment: Enrollment = world.enroll(self.ada, self.program)

    @property
    def first(self) -> Course:
        return self.courses[0]

    def on_step(self, function: str, *more: Any, course: Course | None = None) -> None:
        self.world.on_step(function, self.enrollment, course or self.first, *more)

    def do(self, function: str) -> None:
        self.world.call(function, self.enrollment.id, WHY)

    def report(self, *kinds: str, **more: Any) -> None:
        for kind in kinds:
            self.world.report(kind, self.ada, self.first, **more)

    def answer(self, result: str = "done", **facts: Any) -> Call:
        """Answer the one call that is due; a done one with an id of its own."""
        (call,) = self.world.claim()
        known = {"external_id": f"id-{call.intent}"} if result == "done" else {}
        self.world.record(call, result, **{"error": WHY, "after_seconds": 0, **known, **facts})
        return call

    def make_account(self) -> "Story":
        self.answer()
        return self


def run_steps(world: World) -> None:
    story = Story(world, 0, 0, 0)
    world.on_step("skip_step", story.enrollment, story.courses[2], "tested_out", WHY)
    story.report("course.failed")
    story.on_step("retry_step", WHY)
    story.report("course.failed", "course.completed")
    story.on_step("reopen_step", WHY)
    story.on_step("skip_step", "tested_out", WHY)
    story.on_step("reopen_step", WHY)
    story.report("course.failed")
    story.on_step("skip_step", "tested_out", WHY)
    world.complete(story.enrollment, story.courses[1])
    world.on_step("reopen_step", story.enrollment, story.courses[1], WHY)


def choose_electives(world: World) -> None:
    story = Story(world, 3)
    story.on_step("choose_elective")
    story.on_step("unchoose_elective")
    story.on_step("choose_elective")
    story.report("course.failed")
    story.on_step("unchoose_elective")
    story.on_step("choose_elective")
    story.report("course.completed")
    story.on_step("reopen_step", WHY)


def complete_as_equivalent(world: World) -> None:
    story = Story(world)
    story.report("course.completed")
    world.enroll(story.ada, world.program(story.program.organization, story.first))


def leave_and_come_back(world: World) -> None:
    story = Story(world)
    for function in (
        *("suspend_enrollment", "resume_enrollment", "suspend_enrollment", "withdraw_enrollment"),
        *("undo_withdrawal", "withdraw_enrollment", "undo_withdrawal"),
    ):
        story.do(function)
    waiting = world.create(world.learner(story.program.organization), story.program)
    world.call("withdraw_enrollment", waiting.id, WHY)
    other = world.program(story.program.organization, story.first)
    for state in ("active", "suspended", "pending"):
        learner = world.learner(story.program.organization)
        enrollment = world.create(learner, story.program)
        if state != "pending":
            world.approve(enrollment)
        if state == "suspended":
            world.call("suspend_enrollment", enrollment.id, WHY)
        world.call("transfer_enrollment", enrollment.id, other.id, WHY)


def report_before_its_turn_without_an_id(world: World) -> None:
    """The run is there, its id is not: it is asked for when the step starts."""
    for account_is_gone in (False, True):
        story = Story(world, 0, 0).make_account()
        second = story.courses[1]
        early = world.event("progress.updated", story.ada, second, by="account", percent=5)
        world.apply(early)
        if account_is_gone:
            story.answer("needs_person", cause="account_gone")
        story.report("course.completed")


def report_early_and_late(world: World) -> None:
    """A result in each state of the run."""
    for result in ("course.completed", "course.failed"):
        Story(world).report(result)  # requested
        Story(world).make_account().report(result)  # provisioning
        for ending in ("enrollment.ended", "withdraw", "withdraw and tell"):
            story = Story(world).make_account()
            story.answer()
            if ending == "enrollment.ended":
                story.report(ending)
            else:
                story.do("withdraw_enrollment")
            if ending == "withdraw and tell":
                story.answer()
            story.report(result)
    taken_back = Story(world)
    taken_back.report("course.completed", "completion.revoked", "course.failed")


def report_the_id(world: World) -> None:
    for state in ("requested", "provisioning", "needs_attention"):
        story = Story(world)
        if state != "requested":
            story.make_account()
        if state == "needs_attention":
            story.answer("needs_person", cause="undecidable", uncertain=True)
        event = world.event("enrollment.created", story.ada, story.first)
        world.apply({**event, "external_enrollment_id": f"told-{event['run_id']}"})


def leave_runs(world: World) -> None:
    Story(world).do("withdraw_enrollment")  # requested
    Story(world).make_account().do("withdraw_enrollment")  # not sent
    for result in ("done", "failed", "unknown", "needs_person"):
        story = Story(world).make_account()
        (call,) = world.claim()
        story.do("withdraw_enrollment")
        facts = {"external_id": f"id-{call.intent}"} if result == "done" else {}
        world.record(call, result, error=WHY, after_seconds=0, **facts)
        for each in world.claim():
            world.record(each, "failed", error=WHY, after_seconds=3600)
    told = Story(world, unenroll=False).make_account()
    told.answer()
    told.do("withdraw_enrollment")
    ended = Story(world).make_account()
    ended.answer()
    ended.report("enrollment.ended")
    ended.do("withdraw_enrollment")
    refused = Story(world).make_account()
    world.answer_calls(lambda _: {"result": "needs_person", "cause": "refused", "error": WHY})
    refused.do("withdraw_enrollment")


def wait_for_the_run_before(world: World) -> None:
    story = Story(world).make_account()
    story.answer()
    story.do("withdraw_enrollment")
    story.do("undo_withdrawal")
    story.answer()
    story.answer()


def lose_the_account(world: World) -> None:
    gone = {"cause": "account_gone"}
    story = Story(world).make_account()
    story.answer("needs_person", **gone)
    world.answer_calls()
    two = Story(world).make_account()
    two.answer("unknown")
    other = world.course(two.partner)
    world.enroll(two.ada, world.program(two.program.organization, other))
    world.admin.execute("update intents set next_attempt_at = 'infinity' where status = 'unknown'")
    two.answer("needs_person", **gone)
    world.answer_calls()


def ask_a_person(world: World) -> None:
    for result in ("failed", "unknown"):
        story = Story(world).make_account()
        call = [story.answer(result) for _ in range(8)][-1]
        world.call("retry_call", call.intent, result == "unknown", WHY)
        call = story.answer("needs_person", cause="undecidable", uncertain=True)
        world.call("enter_partner_id", call.intent, f"id-{call.intent}", WHY)


def settle_open_calls_by_a_report(world: World) -> None:
    for result, uncertain in (("failed", True), ("unknown", True), ("failed", False)):
        story = Story(world).make_account()
        story.answer(result, uncertain=uncertain, after_seconds=3600)
        event = world.event("course.completed", story.ada, story.first)
        world.apply({**event, "external_enrollment_id": f"told-{event['run_id']}"})


def go_on_under_the_old_id(world: World) -> None:
    for ending in ("course.failed", "course.completed", "withdraw_enrollment"):
        story = Story(world, unenroll=False).make_account()
        first = story.answer()
        if ending == "withdraw_enrollment":
            story.do(ending)
            story.do("undo_withdrawal")
        else:
            story.report(ending)
            again = "retry_step" if ending == "course.failed" else "reopen_step"
            story.on_step(again, WHY)
        second = story.answer(external_id=f"id-{first.intent}")
        world.call("continue_old_run", second.intent, WHY)


def correct_what_was_entered(world: World) -> None:
    for ending in ((), ("enrollment.ended",), ("course.failed",), ("course.completed",)):
        story = Story(world).make_account()
        call = story.answer("needs_person", cause="conflict")
        world.call("enter_partner_id", call.intent, f"wrong-{call.intent}", WHY)
        story.report(*ending)
        run = find_run(world, story.ada, story.first)
        world.call("correct_partner_id", run, f"right-{call.intent}", WHY)
    story = Story(world)
    call = story.answer("needs_person", cause="conflict")
    world.call("enter_partner_id", call.intent, f"wrong-{call.intent}", WHY)
    account = world.value("select partner_account_id from intents where id = %s", call.intent)
    world.call("correct_account_id", account, "", WHY)


def follow_a_link(world: World) -> None:
    Story(world, mode="link", unenroll=False).report("course.completed")


ALL: tuple[Callable[[World], None], ...] = (
    run_steps,
    choose_electives,
    complete_as_equivalent,
    leave_and_come_back,
    report_early_and_late,
    report_before_its_turn_without_an_id,
    report_the_id,
    leave_runs,
    wait_for_the_run_before,
    lose_the_account,
    ask_a_person,
    correct_what_was_entered,
    settle_open_calls_by_a_report,
    go_on_under_the_old_id,
    follow_a_link,
)
