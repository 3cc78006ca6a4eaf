"""Things of the whole installation."""

from django.conf import settings
from django.db import models
from django.db.models import functions


class Installation(models.Model):
    """One row: switches of the whole installation."""

    id = models.BooleanField(primary_key=True, default=True)
    outbound_held = models.BooleanField(default=False)
    calls_doubted_until = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = "installation"


class AttentionItem(models.Model):
    """Something that needs a person, with its cause in plain words."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    organization = models.ForeignKey(
        "organizations.Organization", on_delete=models.DO_NOTHING, null=True, related_name="+"
    )
    kind = models.TextField()
    subject_id = models.UUIDField()
    enrollment_id = models.UUIDField(null=True)
    provider_id = models.UUIDField(null=True)
    cause = models.TextField()
    details = models.JSONField(default=dict)
    opened_at = models.DateTimeField(db_default=functions.Now())
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="+",
        db_column="resolved_by",
    )
    resolution = models.TextField(null=True)  # noqa: DJ001  # empty until resolved

    class Meta:
        managed = False
        db_table = "attention_items"
