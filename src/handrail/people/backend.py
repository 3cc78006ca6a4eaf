"""Signing in under row security: nobody may read a profile before proving to be that person."""

from typing import Any, NamedTuple
from uuid import UUID

from allauth.account.auth_backends import AuthenticationBackend as AllauthBackend
from django.contrib.auth.hashers import verify_password
from django.db import connection

from handrail.organizations.identity import Identity, set_identity
from handrail.people.models import Profile


class SignIn(NamedTuple):
    """What the database tells about an address before anybody has signed in."""

    profile_id: UUID
    password: str
    """The hash."""
    is_active: bool


def find_sign_in(email: str) -> SignIn | None:
    """Return who signs in with this address; None: nobody."""
    with connection.cursor() as cursor:
        cursor.execute("select id, password, is_active from find_sign_in(%s)", [email])
        row = cursor.fetchone()
    return SignIn(*row) if row else None


class AuthenticationBackend(AllauthBackend):
    """Compares the password with what `find_sign_in` answers, then works as that person.

    From then on the transaction runs as that person, so that the time of the sign-in and a
    stronger hash can be written. An unknown address costs as much time as a wrong password
    (allauth hashes once where no password was compared).
    """

    def _authenticate_by_email(self, email: str, password: str) -> Profile | None:
        found = find_sign_in(email)
        if found is None:
            return None
        self._did_check_password = True
        is_right, is_outdated = verify_password(password, found.password)
        if not is_right:
            return None
        set_identity(Identity(found.profile_id))
        profile = Profile.objects.get(pk=found.profile_id)
        if is_outdated:
            profile.set_password(password)
            profile.save(update_fields=["password"])
        if not self.user_can_authenticate(profile):
            self._stash_user(profile)  # allauth then says that the account is closed
            return None
        return profile

    def get_user_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """Return none: rights come from memberships, by row security."""
        return set()

    get_group_permissions = get_all_permissions = get_user_permissions
