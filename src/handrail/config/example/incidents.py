"""What went wrong in the example's past: one of each cause on the attention list, and some who failed.

Each is made to happen, not written down: a partner refuses, answers 500 after doing the work,
takes a completion back; somebody of the staff withdraws a person whom the partner cannot be told of.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from handrail.config.demo.asking import fetch
from handrail.config.errors import ChildFailed
from handrail.config.example.fates import Fate, Phase
from handrail.config.example.partners import send_webhook, wait_until
from handrail.config.example.past import Past
from handrail.enrollments.actions import (
    approve_enrollment,
    retry_step,
    skip_step,
    suspend_enrollment,
    withdraw_enrollment,
)

STALLED = 4  # people
STALLED_DAYS = 9  # at least; more than the seven after which somebody counts as stuck
_TOLD = "select exists (select from attention_items where kind = %s)"
_NEW_ENROLLMENT = """
select create_enrollment(l.id, g.id, 'self_pay', %s)
from learners l join programs g on g.organization_id = l.organization_id
where l.email_normalized = %s and g.slug = %s
"""


@dataclass(slots=True)
class Picker:
    """Finds people for what is to happen; nobody twice."""

    fates: Sequence[Fate]
    today: date
    taken: set[str]

    def pick(
        self, course: str, *, within: int, days: int = 2, program: str = "", alone: bool = False
    ) -> tuple[Fate, Phase]:
        """Who last began a course, in the last `within` days, and was at it for `days` or more.

        `alone`: nobody else began anything at that partner on that day.

        Raises:
            ChildFailed: there is nobody.
        """
        begun = Counter(
            (one.begins, one.step.platform) for each in self.fates for one in each.phases
        )
        for fate, phase in self._list(within, days):
            is_it = phase.step.course == course and program in ("", fate.who.program)
            if is_it and not (alone and begun[phase.begins, phase.step.platform] > 1):
                self.taken.add(fate.who.email)
                return fate, phase
        raise ChildFailed(f"The example has nobody at {course} to whom something could happen.")

    def find_day_at(self, platform: str, *, within: int) -> date:
        """A day in the last `within` days on which somebody is at a course of that partner.

        Raises:
            ChildFailed: there is none.
        """
        for _, phase in self._list(within, 2):
            if phase.step.platform == platform:
                return phase.begins + timedelta(days=1)
        raise ChildFailed(f"The example has nobody at {platform} in the last {within} days.")

    def list_open(self, *, days: int) -> Iterator[tuple[Fate, Phase]]:
        """Those who are at a step for so many days now, as long as they are not taken."""
        for fate, phase in self._list(365, days):
            if phase.ends is None and fate.who.email not in self.taken:
                yield fate, phase

    def _list(self, within: int, days: int) -> Iterator[tuple[Fate, Phase]]:
        """Everybody's phases of that kind, the newest first."""
        found = [
            (phase.begins, fate.key, fate, phase) for fate in self.fates for phase in fate.phases
        ]
        for begins, _, fate, phase in sorted(found, key=lambda each: each[:2], reverse=True):
            is_recent = begins >= self.today - timedelta(days=within)
            until = min(phase.ends or self.today, self.today - timedelta(days=1))
            is_long = begins + timedelta(days=days) <= until
            if is_recent and is_long and fate.who.email not in self.taken:
                yield fate, phase


class Incidents:
    """Puts what goes wrong into a past that is to be played."""

    def __init__(self, past: Past, picker: Picker, secrets: dict[str, Any]) -> None:
        """`secrets`: the sandbox's configuration of each platform."""
        self._past = past
        self._pick = picker.pick
        self._list_open = picker.list_open
        self._find_day_at = picker.find_day_at
        self._today = picker.today
        self._secrets = secrets

    def arrange(self) -> None:
        """Arrange all of it."""
        self._order_lost()
        self._exam_failed()
        self._withdrawn_at_a_partner_that_cannot_be_told()
        self._ended_by_the_partner()
        self._completion_taken_back()
        self._suspended()
        self._waived()
        self._approved_too_late()
        self._refused_signature()
        self._unreadable_messages()
        self._key_refused()
        self._reading_forbidden()

    def list_stalled(self) -> list[Fate]:
        """Some who stopped doing anything; they study no further by themselves either."""
        found: list[Fate] = []
        for fate, phase in self._list_open(days=STALLED_DAYS + 3):
            if phase.step.platform not in ("nds", "jri") and len(found) < STALLED:
                found.append(fate)
        return found

    def _order_lost(self) -> None:
        """The partner took the order and answered 500; nobody can look it up there."""
        fate, phase = self._pick("NDS-5PANEL", within=60)
        partners = self._past.system.partners
        self._past.before_starts[phase.begins].append(
            lambda: partners.order_fault("nds", "enroll", "error_after")
        )
        self._leave(fate)

    def _key_refused(self) -> None:
        """The partner did not take our key on that day; until a person tries again, one waits."""
        fate, phase = self._pick("RISE-CWS", within=44, program="esthetics", alone=True)
        partners = self._past.system.partners
        self._past.before_starts[phase.begins].append(
            lambda: partners.order_fault("milady", "", "refuse_key")
        )
        self._leave(fate)

    def _exam_failed(self) -> None:
        """A second try, for which the partner gives no second enrollment."""
        fate, phase = self._pick("MOS-365", within=30, days=4)
        day = phase.begins + timedelta(days=2)
        self._on(day, fate, phase, lambda: self._tell(day, fate, phase, "fail"))
        self._on(
            day + timedelta(days=1),
            fate,
            phase,
            lambda: self._staff_step(fate, phase, lambda id: retry_step(id, reason="second try")),
        )

    def _withdrawn_at_a_partner_that_cannot_be_told(self) -> None:
        fate, phase = self._pick("ITS-DIGLIT", within=30, days=3)
        self._on(
            phase.begins + timedelta(days=3),
            fate,
            phase,
            lambda: self._staff_enrollment(
                fate, phase, lambda id: withdraw_enrollment(id, reason="moved to another state")
            ),
        )

    def _ended_by_the_partner(self) -> None:
        fate, phase = self._pick("HSI-FA-RSV", within=40, days=4)
        day = phase.begins + timedelta(days=4)
        why = "Not seen in the course for too long."
        self._on(day, fate, phase, lambda: self._tell(day, fate, phase, "unenroll", reason=why))

    def _completion_taken_back(self) -> None:
        fate, phase = self._pick("CS-INFCTL", within=60, days=3)
        before = next(each for each in fate.phases if each.step.course == "RISE-CWS")
        day = phase.begins + timedelta(days=3)
        why = "The final test was graded by mistake."
        self._on(day, fate, before, lambda: self._tell(day, fate, before, "revoke", reason=why))

    def _suspended(self) -> None:
        fate, phase = self._pick("MS-ESTH", within=90, days=10)
        self._on(
            self._today - timedelta(days=6),
            fate,
            phase,
            lambda: self._staff_enrollment(
                fate, phase, lambda id: suspend_enrollment(id, reason="parental leave")
            ),
        )

    def _waived(self) -> None:
        fate, phase = self._pick("HSI-CPR-AED", within=60, days=2)
        why = "worked two years in a hospital; letter on file"
        self._past.waived.add((*fate.key, "CS-PTSAFE"))
        self._past.incidents[phase.begins + timedelta(days=1)].append(
            lambda: self._staff_step(
                fate,
                phase,
                lambda id: skip_step(id, waiver="outside_experience", reason=why),
                course="CS-PTSAFE",
            )
        )

    def _approved_too_late(self) -> None:
        """Somebody is enrolled in a second program, changes her mind, and is approved after that."""
        fate, _ = self._pick("MS-BARB", within=120, days=5)
        program = "building-maintenance"
        day = self._today - timedelta(days=9)
        found: list[Any] = []

        def enroll() -> None:
            ((id,),) = fetch(_NEW_ENROLLMENT, self._today, fate.who.email, program)
            found.append(id)

        why = "one program at a time"
        actions = (
            lambda: self._past.as_staff(lambda: withdraw_enrollment(found[0], reason=why)),
            lambda: self._past.as_staff(lambda: approve_enrollment(found[0])),
        )
        self._past.incidents[day].append(enroll)
        for each in actions:
            day += timedelta(days=2)
            self._past.incidents[day].append(each)

    def _refused_signature(self) -> None:
        """One message with another key's proof; the right one comes when the partner tries again."""
        fate, phase = self._pick("OSHA10-CON", within=60, days=3)
        day = phase.begins + timedelta(days=2)

        def refuse() -> None:
            self._past.system.partners.order_fault("careersafe", "progress.updated", "wrong_key")
            self._tell(day, fate, phase, "progress", percent=30)
            self._wait_until_told("webhook_refused")

        self._past.incidents[day].append(refuse)

    def _reading_forbidden(self) -> None:
        """The partner's office took a right from our key: it cannot be asked about its learners."""
        day = self._find_day_at("careersafe", within=40)
        system = self._past.system

        def forbid() -> None:
            system.partners.forbid_reading("careersafe")
            system.ask_partner("careersafe")
            self._wait_until_told("reconciliation")

        self._past.incidents[day].append(forbid)

    def _unreadable_messages(self) -> None:
        """A second message under a used id, and one that says what cannot be."""
        partners = self._past.system.partners

        def repeat_with_other_bytes() -> None:
            first = partners.list_webhooks("milady", "progress.updated")[-1]
            body = first["body"]
            body["data"]["percentage"] = 100
            self._send("milady", first["id"], body)
            self._wait_until_told("webhook_conflict")

        def say_the_impossible() -> None:
            newest = partners.list_webhooks("hsi", "progress.updated")[-1]
            body = newest["body"]
            body["data"]["percentage"] = 140
            self._send("hsi", "msg_percent-over-100", body)
            self._wait_until_told("webhook_event")

        for days, action in ((4, repeat_with_other_bytes), (3, say_the_impossible)):
            self._past.incidents[self._today - timedelta(days=days)].append(action)

    def _send(self, platform: str, event_id: str, body: object) -> None:
        known = self._secrets[platform]
        send_webhook(
            known["webhook_url"],
            scheme=known["webhook_scheme"],
            secret=known["webhook_secret"],
            event_id=event_id,
            body=json.dumps(body).encode(),
        )

    def _wait_until_told(self, kind: str) -> None:
        """The attention list hears of messages a moment after they came."""

        def is_told() -> bool:
            self._past.system.settle()
            return fetch(_TOLD, kind) == [(True,)]

        wait_until(is_told, f"An entry of the attention list ({kind})")

    def _on(self, day: date, fate: Fate, phase: Phase, action: Any) -> None:
        """Do it on that day; from then on the partners have nothing more to say of the person."""

        def act() -> None:
            self._leave(fate)
            action()

        self._past.incidents[day].append(act)

    def _leave(self, fate: Fate) -> None:
        self._past.left.add(fate.key)

    def _tell(self, day: date, fate: Fate, phase: Phase, action: str, **more: object) -> None:
        step = self._past.find_step(*fate.key, phase.step.course)
        at = self._past.at(day, of=f"{fate.who.email} {action}")
        self._past.system.partners.act(step.platform, step.external_id, action, at=at, **more)

    def _staff_step(self, fate: Fate, phase: Phase, action: Any, *, course: str = "") -> None:
        step = self._past.find_step(*fate.key, course or phase.step.course)
        self._past.as_staff(lambda: action(step.id))

    def _staff_enrollment(self, fate: Fate, phase: Phase, action: Any) -> None:
        step = self._past.find_step(*fate.key, phase.step.course)
        self._past.as_staff(lambda: action(step.enrollment_id))
