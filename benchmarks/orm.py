"""The advance as one would write it with the ORM: the measure of what the step machine saves.

One event at a time: check the stored bytes, read the JSON, translate it with the same adapter, then
complete the step, start the next one with its run, history and intent, and settle the event, in one
transaction with the enrollment locked. It keeps fewer promises than the machine (no sharing of
runs, no electives, no parallel stages, no credential).
"""

import hashlib
import json
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from benchmarks.adapter import adapter
from handrail.enrollments.models import (
    Enrollment,
    EnrollmentStep,
    Intent,
    PartnerAccount,
    PartnerEnrollment,
    StepEvent,
)


def apply_all() -> int:
    """Apply every stored event; return how many there were."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select id, body, digest, provider_id from webhook_events where status = 'received' order by received_at"
        )
        rows = cursor.fetchall()
    for row in rows:
        apply_one(*row)
    return len(rows)


@transaction.atomic
def apply_one(event_id: UUID, body: memoryview, digest: memoryview, provider_id: UUID) -> None:
    """Apply one event."""
    raw = bytes(body)
    if hashlib.sha256(raw).digest() != bytes(digest):
        raise ValueError("the stored bytes were changed")
    (fact,) = adapter.translate(json.loads(raw))
    run = PartnerEnrollment.objects.get(
        provider_id=provider_id, external_enrollment_id=fact.external_enrollment_id
    )
    step = EnrollmentStep.objects.get(  # by the learner: there is no index by the run
        enrollment__learner_id=run.learner_id, partner_enrollment=run
    )
    enrollment = Enrollment.objects.select_for_update().get(pk=step.enrollment_id)
    _change(
        PartnerEnrollment, run.pk, status="completed", completed_at=fact.occurred_at, progress=100
    )
    _change(
        EnrollmentStep, step.pk, status="completed", completed_at=fact.occurred_at, progress=100
    )
    _record(step, "in_progress", "completed", cause=("webhook", event_id))
    following = (
        EnrollmentStep.objects.filter(enrollment=enrollment, status="pending")
        .order_by("sequence_order")
        .first()
    )
    if following:
        _start(step, following)
    with connection.cursor() as cursor:
        cursor.execute(
            "update webhook_events set status = 'applied', applied_at = now() where id = %s",
            [event_id],
        )


def _start(before: EnrollmentStep, step: EnrollmentStep) -> None:
    account = PartnerAccount.objects.get(provider_id=step.provider_id, learner_id=step.learner_id)
    run = PartnerEnrollment.objects.create(
        organization_id=step.organization_id,
        partner_account=account,
        provider_id=step.provider_id,
        learner_id=step.learner_id,
        course_id=step.course_id,
    )
    _change(
        EnrollmentStep,
        step.pk,
        status="in_progress",
        started_at=timezone.now(),
        partner_enrollment_id=run.pk,
    )
    _record(step, "pending", "in_progress", cause=("step", before.pk))
    Intent.objects.create(
        organization_id=step.organization_id,
        provider_id=step.provider_id,
        kind="enroll",
        partner_account=account,
        partner_enrollment=run,
    )


def _change(model: type[EnrollmentStep | PartnerEnrollment], key: UUID, **values: Any) -> None:
    # Django leaves a status field out of what it writes, so the one UPDATE it would send stands here.
    assignments = ", ".join(f"{name} = %s" for name in values)
    with connection.cursor() as cursor:
        cursor.execute(
            f"update {model._meta.db_table} set {assignments} where id = %s",
            [*values.values(), key],
        )


def _record(step: EnrollmentStep, old: str, new: str, *, cause: tuple[str, UUID]) -> None:
    StepEvent.objects.create(
        organization_id=step.organization_id,
        enrollment_id=step.enrollment_id,
        step_id=step.pk,
        attempt=step.attempt,
        from_status=old,
        to_status=new,
        cause_kind=cause[0],
        cause_id=cause[1],
    )
