"""Plays the example's past, day by day, on the real system.

Partners are told what their learners did and when (the sandbox's /control); what we learn of it
comes by their webhooks and files, and goes through the same code as in production. People of the
organization act through the actions of the pages, with their own claims.
"""

import contextlib
import io
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from handrail.config.demo.asking import fetch
from handrail.config.demo.pages import Pages
from handrail.config.example.clock import Clock
from handrail.config.example.fates import PORTAL, Event, Fate
from handrail.config.example.system import System
from handrail.enrollments.actions import choose_elective
from handrail.enrollments.results import import_results
from handrail.organizations.identity import Identity
from handrail.partners.models import Provider

_NIGHT = (time(0, 0, 3), timedelta(minutes=10))
_AFTERNOON = (time(14), timedelta(hours=6))
_MORNING = time(8)
_MORNING_MINUTES = 300
_FIND_STEP = """
select s.id, e.id, p.adapter, r.external_enrollment_id
from enrollment_steps s
join enrollments e on e.id = s.enrollment_id
join learners l on l.id = s.learner_id
join programs g on g.id = e.program_id
join partner_lms_courses c on c.id = s.course_id
join partner_lms_providers p on p.id = s.provider_id
left join partner_lms_enrollments r on r.id = s.partner_enrollment_id
where l.email_normalized = %s and g.slug = %s and c.code = %s
"""

Doing = Callable[[], None]


@dataclass(frozen=True, slots=True)
class FoundStep:
    """Somebody's step, and what the partner calls it."""

    id: UUID
    enrollment_id: UUID
    platform: str
    external_id: str


@dataclass(slots=True, kw_only=True)
class Past:
    """What is to happen; `play` lets it happen."""

    system: System
    clock: Clock
    pages: Pages
    staff: Identity
    portal: Provider
    zone: ZoneInfo
    starts: dict[date, int]
    """How many enrollments begin on which day."""
    before_starts: dict[date, list[Doing]] = field(default_factory=lambda: defaultdict(list))
    incidents: dict[date, list[Doing]] = field(default_factory=lambda: defaultdict(list))
    left: set[tuple[str, str]] = field(default_factory=set)
    """Those of whom their partners have nothing more to say."""
    waived: set[tuple[str, str, str]] = field(default_factory=set)
    """Steps that nobody takes."""
    _portal_ids: dict[tuple[str, str], str] = field(default_factory=dict)
    _results: bytes = b""

    def play(self, fates: Sequence[Fate], first: date, last: date) -> None:
        """Let every day pass, from the first to the last."""
        events: dict[date, list[Event]] = defaultdict(list)
        for fate in fates:
            for event in fate.events:
                events[event.day].append(event)
        day = first
        while day <= last:
            self._pass(day, sorted(events[day]))
            day += timedelta(days=1)

    def find_step(self, email: str, program: str, course: str) -> FoundStep:
        """Find somebody's step."""
        ((id, enrollment_id, platform, external_id),) = fetch(_FIND_STEP, email, program, course)
        known = external_id or self._portal_ids.get((email, course), "")
        return FoundStep(id, enrollment_id, platform, known)

    def at(self, day: date, *, of: str) -> datetime:
        """A moment in the morning of that day, the same each time for `of`."""
        minutes = random.Random(f"{day} {of}").uniform(0, _MORNING_MINUTES)  # noqa: S311 - plays chance
        return datetime.combine(day, _MORNING, self.zone) + timedelta(minutes=minutes)

    def as_staff(self, action: Doing) -> None:
        """Let the organization's staff do something at the pages."""
        self.pages.act(self.staff, action)

    def _pass(self, day: date, events: Sequence[Event]) -> None:
        if self.starts.get(day) or self.before_starts.get(day):
            with self._show(day, _NIGHT):
                for each in self.before_starts.get(day, ()):
                    each()
                fetch("select start_due_enrollments(%s)", self.starts.get(day, 0))
                self.system.settle()
        if events or self.incidents.get(day) or self._has_results():
            with self._show(day, _AFTERNOON):
                self._import_results()
                for event in events:
                    key = (event.email, event.program)
                    if key not in self.left and (*key, event.course) not in self.waived:
                        self._do(event)
                self.system.settle()
                for each in self.incidents.get(day, ()):
                    each()
                    self.system.settle()

    def _show(
        self, day: date, when: tuple[time, timedelta]
    ) -> contextlib.AbstractContextManager[None]:
        return self.clock.show_as(datetime.combine(day, when[0], self.zone), when[1])

    def _do(self, event: Event) -> None:
        step = self.find_step(event.email, event.program, event.course)
        partners, at = self.system.partners, self.at(event.day, of=event.email + event.course)
        match event.action:
            case "choose":
                self.as_staff(lambda: choose_elective(step.id))
            case "sign_up":
                name = self._find_name(event.email)
                self._portal_ids[event.email, event.course] = partners.sign_up(
                    event.course, name=name, email=event.email
                )
            case "progress":
                partners.act(
                    step.platform, step.external_id, "progress", at=at, percent=event.percent
                )
            case "complete" | "fail":
                partners.act(step.platform, step.external_id, event.action, at=at)

    @staticmethod
    def _find_name(email: str) -> str:
        ((name,),) = fetch(
            "select btrim(first_name || ' ' || last_name) from learners where email_normalized = %s",
            email,
        )
        return str(name)

    def _has_results(self) -> bool:
        return self.system.partners.read_results() != self._results

    def _import_results(self) -> None:
        """Import the portal's file as staff do at the command line, the day after it grew."""
        results = self.system.partners.read_results()
        if results != self._results:
            self._results = results
            source = f"{PORTAL}.csv"
            import_results(io.BytesIO(results), provider=self.portal, tell=_ignore, source=source)


def _ignore(_: object) -> None:
    """What is not taken over yet is taken over with the next file."""
