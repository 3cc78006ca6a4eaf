"""Training partners and what they teach."""

from django.db import models
from django.db.models import functions

from handrail.organizations.models import Organization


class Provider(models.Model):
    """A training partner; archived, never deleted."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    organization = models.ForeignKey(
        Organization, on_delete=models.DO_NOTHING, related_name="providers"
    )
    slug = models.TextField()
    name = models.TextField()
    adapter = models.TextField()
    mode = models.TextField()
    base_url = models.TextField(blank=True, default="")
    link_url = models.TextField(blank=True, default="")
    credentials = models.BinaryField(null=True)
    settings = models.JSONField(default=dict)
    offers_lookup = models.BooleanField(default=False)
    offers_unenroll = models.BooleanField(default=False)
    offers_progress = models.BooleanField(default=False)
    configured_at = models.DateTimeField(null=True)
    archived_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=functions.Now())

    class Meta:
        managed = False
        db_table = "partner_lms_providers"

    def __str__(self) -> str:
        return self.name


class Course(models.Model):
    """What a provider teaches or does: also an exam, a drug screening, an orientation."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    organization = models.ForeignKey(
        Organization, on_delete=models.DO_NOTHING, related_name="courses"
    )
    provider = models.ForeignKey(Provider, on_delete=models.DO_NOTHING, related_name="courses")
    code = models.TextField()
    title = models.TextField()
    kind = models.TextField(default="course")
    hours = models.DecimalField(max_digits=7, decimal_places=2, default=0)
    credential_name = models.TextField(blank=True, default="")
    valid_months = models.IntegerField(null=True)
    link_url = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(db_default=functions.Now())

    class Meta:
        managed = False
        db_table = "partner_lms_courses"

    def __str__(self) -> str:
        return self.title
