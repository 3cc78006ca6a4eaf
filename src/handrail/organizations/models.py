"""Tenants and who works in them."""

from django.conf import settings
from django.db import models
from django.db.models import functions


class Organization(models.Model):
    """A tenant: a career school, apprenticeship sponsor or workforce board."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    slug = models.TextField(unique=True)
    name = models.TextField()
    learner_word = models.TextField(default="student")
    time_zone = models.TextField(default="UTC")
    created_at = models.DateTimeField(db_default=functions.Now())

    class Meta:
        managed = False
        db_table = "organizations"

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A profile's role in an organization: staff, admin, owner or partner."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    organization = models.ForeignKey(
        Organization, on_delete=models.DO_NOTHING, related_name="memberships"
    )
    profile = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, related_name="memberships"
    )
    role = models.TextField()
    created_at = models.DateTimeField(db_default=functions.Now())

    class Meta:
        managed = False
        db_table = "memberships"
