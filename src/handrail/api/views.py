"""The origin's enroll calls: thin doors to the action that starts what is due."""

from collections.abc import Sequence
from http import HTTPStatus
from uuid import UUID

from django.http import JsonResponse

from handrail.api.access import Problem, Question, door, work_for
from handrail.enrollments.actions import start_enrollment
from handrail.enrollments.models import Enrollment, EnrollmentStep
from handrail.enrollments.queries.doors import find_newest_enrollment, find_organization
from handrail.enrollments.queries.steps import list_steps
from handrail.enrollments.words import Step, tell_staff
from handrail.partners.models import Provider

_MILADY = "milady"


@door
def enroll_at_partner(question: Question) -> JsonResponse:
    """Start what is due of an enrollment; answer how its provisioning stands.

    Takes `{"enrollment_id": ...}`, or `{"step_id": ...}` and answers about that step only. A repeat
    starts nothing again.
    """
    if "step_id" in question.body and "enrollment_id" in question.body:
        words = "Send enrollment_id or step_id, not both."
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, words, field="step_id")
    if "step_id" not in question.body:
        enrollment_id = question.read_uuid("enrollment_id")
        _enter(question, field="enrollment_id", enrollment_id=enrollment_id)
        return _start(_get_enrollment(enrollment_id))
    step_id = question.read_uuid("step_id")
    _enter(question, field="step_id", step_id=step_id)
    step = EnrollmentStep.objects.filter(id=step_id).values("enrollment_id").first()
    if step is None:
        raise _not_found("step_id")
    return _start(_get_enrollment(step["enrollment_id"]), only=[step_id])


@door
def enroll_at_milady(question: Question) -> JsonResponse:
    """Start what is due of a student's enrollment in a program; answer for its Milady steps.

    Takes `{"student_id": ..., "program_id": ...}`; the student is a learner of the organization.
    """
    student_id, program_id = question.read_uuid("student_id"), question.read_uuid("program_id")
    _enter(question, field="student_id", student_id=student_id)
    enrollment = find_newest_enrollment(student_id, program_id)
    if enrollment is None:
        words = "This student has no enrollment in this program."
        raise Problem(HTTPStatus.NOT_FOUND, words, field="program_id")
    at_milady = EnrollmentStep.objects.filter(
        enrollment=enrollment,
        required=True,
        provider_id__in=Provider.objects.filter(adapter=_MILADY).values("id"),
    )
    steps = list(at_milady.values_list("id", flat=True))
    if not steps:
        words = "This program has no required step at Milady."
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, words, field="program_id")
    return _start(enrollment, only=steps)


def _enter(question: Question, *, field: str, **ids: UUID) -> None:
    """For a service: work in the organization of the row that is named."""
    if question.by_service:
        organization_id = find_organization(**ids)
        if organization_id is None:
            raise _not_found(field)
        work_for(organization_id)


def _get_enrollment(enrollment_id: UUID) -> Enrollment:
    found = Enrollment.objects.filter(id=enrollment_id).first()
    if found is None:
        raise _not_found("enrollment_id")
    return found


def _not_found(field: str) -> Problem:
    what = field.removesuffix("_id")
    return Problem(HTTPStatus.NOT_FOUND, f"There is no such {what}.", field=field)


def _start(enrollment: Enrollment, *, only: Sequence[UUID] = ()) -> JsonResponse:
    start_enrollment(enrollment.id)
    enrollment.refresh_from_db(fields=["status"])
    steps = list_steps([enrollment.id]).get(enrollment.id, [])
    return JsonResponse(
        {
            "enrollment_id": str(enrollment.id),
            "status": enrollment.status,
            "steps": [_describe(step) for step in steps if not only or step.id in only],
        }
    )


def _describe(step: Step) -> dict[str, object]:
    """A step and the state of its provisioning: of the run at the partner, or `not_started`."""
    waits = step.status in ("in_progress", "failed")
    return {
        "step_id": str(step.id),
        "course": step.course_title,
        "provider": step.provider_name,
        "required": step.required,
        "status": step.status,
        "provisioning": step.run_status or "not_started",
        "partner_enrollment_id": step.run_external_id,
        "words": tell_staff(step) if waits else "",
    }
