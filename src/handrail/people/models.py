"""Who can sign in, and the people an organization knows."""

from typing import ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import functions

from handrail.organizations.models import Organization


def normalize_email(email: str) -> str:
    """Return the address as it is compared: without surrounding space, in lower case."""
    return email.strip().lower()


class ProfileManager(BaseUserManager["Profile"]):
    """Makes profiles; used by commands, which work as the service role."""

    def create_user(self, *, email: str, password: str, name: str = "") -> "Profile":
        """Create somebody who can sign in.

        Raises:
            django.db.IntegrityError: somebody signs in with this address already.
        """
        profile = self.model(email=normalize_email(email), name=name)
        profile.set_password(password)
        profile.save(force_insert=True)
        return profile

    def get_by_natural_key(self, username: str | None) -> "Profile":
        """Return the profile that signs in with this address."""
        return self.get(email=normalize_email(username or ""))


class Profile(AbstractBaseUser):
    """Who can sign in; holds only what that person entered."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    email = models.TextField(unique=True)
    name = models.TextField(blank=True, default="")
    is_active = models.BooleanField(default=True)
    is_super_admin = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=functions.Now())
    last_login = models.DateTimeField(null=True, blank=True)
    password = models.TextField()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    objects: ClassVar[ProfileManager] = ProfileManager()

    class Meta:
        managed = False
        db_table = "profiles"

    def __str__(self) -> str:
        return self.name or self.email


class Learner(models.Model):
    """A person as one organization knows them; `profile` stays empty until that person proves the address."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    organization = models.ForeignKey(
        Organization, on_delete=models.DO_NOTHING, related_name="learners"
    )
    first_name = models.TextField()
    last_name = models.TextField(blank=True, default="")
    email = models.TextField()
    email_normalized = models.TextField()
    phone = models.TextField(blank=True, default="")
    birth_date = models.DateField(null=True, blank=True)
    profile = models.ForeignKey(
        Profile,
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        editable=False,
        related_name="learners",
    )
    created_at = models.DateTimeField(db_default=functions.Now())

    class Meta:
        managed = False
        db_table = "learners"

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()
