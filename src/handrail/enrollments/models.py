"""Mirrors of the step machine's tables; only the machine (sql/machine_*.sql) writes them."""

from django.db import models
from django.db.models import functions

from handrail.core.fields import StatusField
from handrail.organizations.models import Organization
from handrail.partners.models import Course, Provider
from handrail.people.models import Learner
from handrail.programs.models import Program, ProgramStep, ProgramVersion


class Enrollment(models.Model):
    """One person in one program version."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    organization = models.ForeignKey(
        Organization, on_delete=models.DO_NOTHING, related_name="enrollments"
    )
    learner = models.ForeignKey(Learner, on_delete=models.DO_NOTHING, related_name="enrollments")
    program = models.ForeignKey(Program, on_delete=models.DO_NOTHING, related_name="enrollments")
    program_version = models.ForeignKey(
        ProgramVersion, on_delete=models.DO_NOTHING, related_name="enrollments"
    )
    status = StatusField()
    funding_source = models.TextField(default="self_pay")
    start_date = models.DateField()
    start_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    activated_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    transferred_from = models.ForeignKey(
        "self",
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="+",
        db_column="transferred_from",
    )
    created_at = models.DateTimeField(db_default=functions.Now())
    updated_at = models.DateTimeField(db_default=functions.Now())

    class Meta:
        managed = False
        db_table = "enrollments"


class EnrollmentRequirement(models.Model):
    """What must be met before an enrollment is active."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, related_name="+")
    enrollment = models.ForeignKey(
        Enrollment, on_delete=models.DO_NOTHING, related_name="requirements"
    )
    kind = models.TextField()
    met_at = models.DateTimeField(null=True)
    cause = models.TextField(null=True)  # noqa: DJ001  # empty until met
    created_at = models.DateTimeField(db_default=functions.Now())

    class Meta:
        managed = False
        db_table = "enrollment_requirements"


class PartnerAccount(models.Model):
    """A person's account at one provider."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, related_name="+")
    provider = models.ForeignKey(Provider, on_delete=models.DO_NOTHING, related_name="accounts")
    learner = models.ForeignKey(
        Learner, on_delete=models.DO_NOTHING, related_name="partner_accounts"
    )
    external_id = models.TextField(null=True)  # noqa: DJ001  # empty until the partner said it
    username = models.TextField(default="")
    login_url = models.TextField(default="")
    former_ids = models.JSONField(default=list)
    created_at = models.DateTimeField(db_default=functions.Now())
    updated_at = models.DateTimeField(db_default=functions.Now())

    class Meta:
        managed = False
        db_table = "partner_accounts"


class PartnerEnrollment(models.Model):
    """One person's run of one course at the provider."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, related_name="+")
    partner_account = models.ForeignKey(
        PartnerAccount, on_delete=models.DO_NOTHING, related_name="runs"
    )
    provider = models.ForeignKey(Provider, on_delete=models.DO_NOTHING, related_name="+")
    learner = models.ForeignKey(Learner, on_delete=models.DO_NOTHING, related_name="+")
    course = models.ForeignKey(Course, on_delete=models.DO_NOTHING, related_name="+")
    run = models.IntegerField(default=1)
    is_current = models.BooleanField(default=True)
    status = StatusField()
    external_enrollment_id = models.TextField(null=True)  # noqa: DJ001  # empty until the partner said it
    saved = models.JSONField(default=dict)
    access_url = models.TextField(default="")
    progress = models.DecimalField(max_digits=5, decimal_places=2, null=True)
    progress_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    failure_reason = models.TextField(default="")
    revoked_at = models.DateTimeField(null=True)
    counts_from = models.DateTimeField(null=True)
    continued = models.BooleanField(default=False)
    cause = models.TextField(default="")
    fact_kind = models.TextField(null=True)  # noqa: DJ001  # no fact yet
    fact_id = models.UUIDField(null=True)
    fact_actor = models.UUIDField(null=True)
    fact_reason = models.TextField(default="")
    created_at = models.DateTimeField(db_default=functions.Now())
    updated_at = models.DateTimeField(db_default=functions.Now())

    class Meta:
        managed = False
        db_table = "partner_lms_enrollments"


class EnrollmentStep(models.Model):
    """A person's run of one program step."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, related_name="+")
    enrollment = models.ForeignKey(Enrollment, on_delete=models.DO_NOTHING, related_name="steps")
    learner = models.ForeignKey(Learner, on_delete=models.DO_NOTHING, related_name="+")
    program_step = models.ForeignKey(ProgramStep, on_delete=models.DO_NOTHING, related_name="+")
    provider = models.ForeignKey(Provider, on_delete=models.DO_NOTHING, related_name="+")
    course = models.ForeignKey(Course, on_delete=models.DO_NOTHING, related_name="+")
    sequence_order = models.IntegerField()
    required = models.BooleanField()
    elective_choose = models.IntegerField(null=True)
    demands_new_run = models.BooleanField(default=False)
    status = StatusField()
    attempt = models.IntegerField(default=1)
    chosen_at = models.DateTimeField(null=True)
    partner_enrollment = models.ForeignKey(
        PartnerEnrollment, on_delete=models.DO_NOTHING, null=True, related_name="steps"
    )
    progress = models.DecimalField(max_digits=5, decimal_places=2, default=0)
    started_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    error_message = models.TextField(default="")
    skip_reason = models.TextField(null=True)  # noqa: DJ001  # only of a skipped step
    waived_by = models.UUIDField(null=True)
    created_at = models.DateTimeField(db_default=functions.Now())
    updated_at = models.DateTimeField(db_default=functions.Now())

    class Meta:
        managed = False
        db_table = "enrollment_steps"


class StepEvent(models.Model):
    """Append-only history: who or what changed a step or enrollment, from what to what."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, related_name="+")
    enrollment = models.ForeignKey(Enrollment, on_delete=models.DO_NOTHING, related_name="events")
    step_id = models.UUIDField(null=True)
    attempt = models.IntegerField(null=True)
    from_status = models.TextField(null=True)  # noqa: DJ001  # nothing before
    to_status = models.TextField()
    cause_kind = models.TextField()
    cause_id = models.UUIDField(null=True)
    actor_id = models.UUIDField(null=True)
    reason = models.TextField(default="")
    created_at = models.DateTimeField(db_default=functions.Now())

    class Meta:
        managed = False
        db_table = "step_events"


class PartnerCertificate(models.Model):
    """What a partner issued; never overwritten."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, related_name="+")
    partner_enrollment = models.ForeignKey(
        PartnerEnrollment, on_delete=models.DO_NOTHING, related_name="certificates"
    )
    learner = models.ForeignKey(Learner, on_delete=models.DO_NOTHING, related_name="+")
    external_id = models.TextField()
    number = models.TextField(default="")
    issued_on = models.DateField(null=True)
    expires_on = models.DateField(null=True)
    download_url = models.TextField(default="")
    verification_url = models.TextField(default="")
    created_at = models.DateTimeField(db_default=functions.Now())

    class Meta:
        managed = False
        db_table = "partner_certificates"


class SensitiveResult(models.Model):
    """A screening's result, kept apart from progress; only administrators read it."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, related_name="+")
    partner_enrollment = models.ForeignKey(
        PartnerEnrollment, on_delete=models.DO_NOTHING, related_name="+"
    )
    result = models.TextField()
    reported_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=functions.Now())

    class Meta:
        managed = False
        db_table = "sensitive_results"


class Intent(models.Model):
    """One call to the outside, recorded before it is made; its id is the idempotency key."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, related_name="+")
    provider = models.ForeignKey(Provider, on_delete=models.DO_NOTHING, related_name="+")
    kind = models.TextField()
    partner_account = models.ForeignKey(
        PartnerAccount, on_delete=models.DO_NOTHING, related_name="intents"
    )
    partner_enrollment = models.ForeignKey(
        PartnerEnrollment, on_delete=models.DO_NOTHING, null=True, related_name="intents"
    )
    status = StatusField()
    held = models.BooleanField(default=False)
    uncertain = models.BooleanField(default=False)
    attempts = models.IntegerField(default=0)
    calls = models.IntegerField(default=0)
    next_attempt_at = models.DateTimeField(db_default=functions.Now())
    lease_until = models.DateTimeField(null=True)
    fence = models.BigIntegerField(default=0)
    first_sent_at = models.DateTimeField(null=True)
    error = models.TextField(default="")
    details = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=functions.Now())
    updated_at = models.DateTimeField(db_default=functions.Now())

    class Meta:
        managed = False
        db_table = "intents"
