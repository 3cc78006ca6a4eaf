"""What we issue."""

from django.db import models
from django.db.models import functions

from handrail.core.fields import StatusField
from handrail.enrollments.models import Enrollment
from handrail.organizations.models import Organization
from handrail.people.models import Learner


class Credential(models.Model):
    """What the organization attests: a snapshot of what was true when it was issued."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    organization = models.ForeignKey(
        Organization, on_delete=models.DO_NOTHING, related_name="credentials"
    )
    enrollment = models.ForeignKey(
        Enrollment, on_delete=models.DO_NOTHING, related_name="credentials"
    )
    learner = models.ForeignKey(Learner, on_delete=models.DO_NOTHING, related_name="credentials")
    number = models.TextField()
    organization_name = models.TextField()
    holder_name = models.TextField()
    program_title = models.TextField()
    steps = models.JSONField()
    issued_at = models.DateTimeField(db_default=functions.Now())
    revoked_at = models.DateTimeField(null=True)
    revoke_reason = models.TextField(null=True)  # noqa: DJ001  # only of a revoked one
    supersedes = models.ForeignKey(
        "self",
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="successors",
        db_column="supersedes",
    )
    pdf_status = StatusField()

    class Meta:
        managed = False
        db_table = "credentials"


class CredentialDocument(models.Model):
    """The rendered certificate of a credential."""

    credential = models.OneToOneField(
        Credential, on_delete=models.DO_NOTHING, primary_key=True, related_name="document"
    )
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, related_name="+")
    learner = models.ForeignKey(Learner, on_delete=models.DO_NOTHING, related_name="+")
    pdf = models.BinaryField()
    rendered_at = models.DateTimeField(db_default=functions.Now())

    class Meta:
        managed = False
        db_table = "credential_documents"
