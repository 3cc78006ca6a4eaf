"""Steps as somebody who learns reads them."""

from collections.abc import Sequence
from dataclasses import dataclass

from handrail.credentials.queries import CredentialRow
from handrail.enrollments.queries.progress import PartnerCertificateRow, Progress, Stage
from handrail.enrollments.words import Step, tell_learner

_PLACES = {
    "done": "completed",
    "waived": "not required of you",
    "now": "now",
    "failed": "not passed",
    "later": "comes later",
    "ended": "not completed",
}


@dataclass(frozen=True, slots=True)
class ShownStep:
    """A step and what its line offers."""

    step: Step
    state: str
    """done, waived, now, failed, later, or ended: open when the enrollment ended early."""
    words: str
    """Why it cannot be begun yet, or how it ended."""
    can_open: bool
    can_choose: bool
    can_take_back: bool
    certificates: Sequence[PartnerCertificateRow]
    email: str
    """By which a partner without an interface tells whose result it is."""

    @property
    def place(self) -> str:
        """Where the step stands, after the partner's name; a completed one has its day instead."""
        if self.state == "later" and not self.step.required and self.step.chosen_at is None:
            return "to choose" if self.can_choose else "not chosen"
        if self.state == "later" and self.step.chosen_at is not None:
            return "chosen, comes later"
        return _PLACES[self.state]

    @property
    def is_under_way(self) -> bool:
        """Whether taking the choice back gives up a place at the partner."""
        return self.step.status != "pending"

    @property
    def shows_progress(self) -> bool:
        """Whether a percentage says something: the partner has reported one."""
        return self.state == "now" and self.step.run_progress_at is not None


@dataclass(frozen=True, slots=True)
class ShownStage:
    """A stage; `stage.to_choose` is 0 where there is nothing to choose."""

    stage: Stage
    required: Sequence[ShownStep]
    electives: Sequence[ShownStep]

    @property
    def is_open(self) -> bool:
        """Whether more electives may be chosen."""
        return self.stage.taken < self.stage.to_choose


@dataclass(frozen=True, slots=True)
class ShownEnrollment:
    """An enrollment with its stages, and its certificate where there is one."""

    progress: Progress
    stages: Sequence[ShownStage]
    credential: CredentialRow | None

    @property
    def told(self) -> str:
        """How far it is, in words."""
        steps = "step" if self.progress.needed == 1 else "steps"
        return f"{self.progress.done} of {self.progress.needed} {steps} completed"


def present_enrollment(progress: Progress, credential: CredentialRow | None) -> ShownEnrollment:
    """Return the enrollment as its page shows it; electives that were not taken are left out."""
    stages = [
        ShownStage(
            stage,
            [_present_step(step, stage, progress) for step in stage.required],
            [
                _present_step(step, stage, progress)
                for step in stage.electives
                if step.skip_reason != "not_chosen"
            ],
        )
        for stage in progress.stages
    ]
    return ShownEnrollment(progress, stages, credential)


def _present_step(step: Step, stage: Stage, progress: Progress) -> ShownStep:
    chosen = step.chosen_at is not None
    live = progress.is_live
    return ShownStep(
        step=step,
        state=_name_state(step, ended_early=progress.ended_early),
        words=tell_learner(step, organization=progress.organization_name) if live else "",
        can_open=progress.status == "active" and step.is_ready,
        can_choose=live
        and not step.required
        and step.status == "pending"
        and not chosen
        and stage.taken < stage.to_choose,
        can_take_back=live and not step.required and _can_take_back(step, chosen=chosen),
        certificates=progress.certificates.get(step.run_id, ()) if step.run_id else (),
        email=progress.email,
    )


def _can_take_back(step: Step, *, chosen: bool) -> bool:
    return step.status in ("in_progress", "failed") or (step.status == "pending" and chosen)


def _name_state(step: Step, *, ended_early: bool) -> str:
    if ended_early and step.status in ("in_progress", "pending"):
        return "ended"
    return {
        "completed": "done",
        "skipped": "waived",
        "in_progress": "now",
        "failed": "failed",
        "pending": "later",
    }[step.status]
