"""Fates are made of people and a day alone: the same people, the same fate, whenever it is."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from handrail.config.example.fates import Enrollee, Event, Fate, PlannedStep, Wish, plan_fate

TODAY = date(2027, 3, 14)
FIRST = PlannedStep(1, True, "milady", "RISE-CWS", 4)
SECOND = PlannedStep(2, True, "nrf", "SS-MGR", 16)
PORTAL = PlannedStep(1, True, "jri", "JRI-WORK", 8)
EXAM = PlannedStep(1, True, "certiport", "MOS-365", 3)
SCREENING = PlannedStep(1, True, "nds", "NDS-5PANEL", 0)
ELECTIVES = tuple(PlannedStep(3, False, "nrf", course, 2) for course in ("A", "B", "C"))


def make(*steps: PlannedStep, days_ago: int, email: str = "ann@example.org") -> Enrollee:
    return Enrollee(email, "program", TODAY - timedelta(days=days_ago), steps)


def list_actions(fate: Fate) -> list[tuple[str, str]]:
    return [(event.action, event.course) for event in fate.events if event.action != "progress"]


def test_who_begins_today_or_later_has_no_past() -> None:
    for days_ago in (0, -5):
        assert plan_fate(make(FIRST, days_ago=days_ago), today=TODAY) == Fate(
            make(FIRST, days_ago=days_ago), (), (), completed=False
        )


def test_step_follows_step_until_everything_is_completed() -> None:
    fate = plan_fate(make(FIRST, SECOND, days_ago=300), today=TODAY)

    assert fate.completed
    assert list_actions(fate) == [("complete", "RISE-CWS"), ("complete", "SS-MGR")]
    first, second = fate.phases
    assert first.begins == TODAY - timedelta(days=300)
    assert first.ends == second.begins


def test_who_is_not_through_is_at_a_step() -> None:
    fate = plan_fate(make(FIRST, SECOND, days_ago=4), today=TODAY, wish=Wish(pace=2))

    assert not fate.completed
    assert [(phase.step.course, phase.ends) for phase in fate.phases] == [("RISE-CWS", None)]
    assert list_actions(fate) == []


def test_results_of_the_portal_are_heard_of_a_day_later() -> None:
    fate = plan_fate(make(PORTAL, SECOND, days_ago=300), today=TODAY)

    completed = next(each for each in fate.events if each.action == "complete")
    assert fate.phases[1].begins == completed.day + timedelta(days=1)
    assert list_actions(fate)[0] == ("sign_up", "JRI-WORK")


def test_a_step_that_is_failed_is_the_end() -> None:
    fate = plan_fate(make(FIRST, SECOND, days_ago=300), today=TODAY, wish=Wish(fails="RISE-CWS"))

    assert (fate.completed, list_actions(fate)) == (False, [("fail", "RISE-CWS")])


def test_a_choice_can_be_left_to_the_visitor_or_wished_for() -> None:
    who = make(FIRST, *ELECTIVES, days_ago=300)

    waiting = plan_fate(who, today=TODAY, wish=Wish(chooses=False))
    assert (waiting.completed, list_actions(waiting)) == (False, [("complete", "RISE-CWS")])
    wished = plan_fate(who, today=TODAY, wish=Wish(elective="B"), avoid=["B"])
    assert list_actions(wished)[1:] == [("choose", "B"), ("complete", "B")]


@given(st.integers(0, 10_000))
def test_nobody_chooses_by_chance_what_is_to_be_avoided(number: int) -> None:
    who = make(*ELECTIVES, days_ago=300, email=f"p{number}@example.org")

    assert {each.course for each in plan_fate(who, today=TODAY, avoid=["B"]).events} <= {"A", "C"}


@given(
    days_ago=st.integers(-20, 300),
    number=st.integers(0, 10_000),
    steps=st.permutations([FIRST, SECOND, PORTAL, EXAM, SCREENING]),
    later=st.integers(0, 1000),
)
def test_a_fate_is_in_order_in_the_past_and_moves_along_with_the_day(
    days_ago: int, number: int, steps: list[PlannedStep], later: int
) -> None:
    ordered = [PlannedStep(at, True, s.platform, s.course, s.hours) for at, s in enumerate(steps)]
    who = make(*ordered, days_ago=days_ago, email=f"p{number}@example.org")

    fate = plan_fate(who, today=TODAY)

    begins = {phase.step.course: phase.begins for phase in fate.phases}
    assert all(begins[each.course] < each.day < TODAY for each in fate.events)
    assert list(fate.events) == sorted(fate.events)
    assert all(0 <= each.percent <= 100 for each in fate.events)
    exam = [each.percent for each in fate.events if each.course == "MOS-365"]
    assert all(percent <= 50 for percent in exam)
    assert not any(each.action == "progress" for each in fate.events if each.course == "NDS-5PANEL")
    by = timedelta(days=later)
    moved = plan_fate(Enrollee(who.email, who.program, who.start + by, who.steps), today=TODAY + by)
    assert moved.events == tuple(
        Event(each.day + by, *(getattr(each, name) for name in Event.__slots__[1:]))
        for each in fate.events
    )


def test_who_is_at_a_step_for_long_was_seen_lately() -> None:
    for number in range(50):
        who = make(
            PlannedStep(1, True, "milady", "MS-BARB", 1500), days_ago=30, email=f"{number}@x.org"
        )
        fate = plan_fate(who, today=TODAY, wish=Wish(pace=2))

        assert TODAY - fate.events[-1].day <= timedelta(days=4)
        assert plan_fate(who, today=TODAY).stop_at(who.start).events == ()
