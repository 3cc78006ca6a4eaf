"""Programs: ordered sets of steps at partners."""

from django.db import models
from django.db.models import functions

from handrail.organizations.models import Organization
from handrail.partners.models import Course, Provider


class Program(models.Model):
    """What a learner enrolls in."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    organization = models.ForeignKey(
        Organization, on_delete=models.DO_NOTHING, related_name="programs"
    )
    slug = models.TextField()
    title = models.TextField()
    tuition_cents = models.BigIntegerField(default=0)
    archived_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=functions.Now())

    class Meta:
        managed = False
        db_table = "programs"

    def __str__(self) -> str:
        return self.title


class ProgramVersion(models.Model):
    """A version of a program; a published one never changes."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, related_name="+")
    program = models.ForeignKey(Program, on_delete=models.DO_NOTHING, related_name="versions")
    number = models.IntegerField()
    published_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=functions.Now())

    class Meta:
        managed = False
        db_table = "program_versions"


class ProgramStep(models.Model):
    """Blueprint of a step. Steps with the same `sequence_order` are a stage."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    organization = models.ForeignKey(Organization, on_delete=models.DO_NOTHING, related_name="+")
    program_version = models.ForeignKey(
        ProgramVersion, on_delete=models.DO_NOTHING, related_name="steps"
    )
    provider = models.ForeignKey(Provider, on_delete=models.DO_NOTHING, related_name="+")
    course = models.ForeignKey(Course, on_delete=models.DO_NOTHING, related_name="+")
    sequence_order = models.IntegerField()
    required = models.BooleanField(default=True)
    elective_choose = models.IntegerField(null=True)
    demands_new_run = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=functions.Now())

    class Meta:
        managed = False
        db_table = "program_partner_lms"
