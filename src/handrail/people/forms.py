"""allauth's forms where they look for people: here nobody reads another's profile."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from allauth.account.adapter import get_adapter
from allauth.account.forms import LoginForm as AllauthLoginForm
from allauth.account.forms import ResetPasswordForm as AllauthResetPasswordForm
from allauth.account.forms import UserTokenForm as AllauthUserTokenForm
from allauth.core import context
from allauth.mfa.totp.forms import ActivateTOTPForm as AllauthActivateTOTPForm
from allauth.mfa.webauthn.forms import AddWebAuthnForm as AllauthAddWebAuthnForm
from allauth.mfa.webauthn.forms import LoginWebAuthnForm as AllauthLoginWebAuthnForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from fido2.utils import websafe_decode

from handrail.organizations.identity import Identity, set_identity
from handrail.people.access import get_facts
from handrail.people.backend import find_sign_in
from handrail.people.models import Profile


@contextmanager
def read_as(profile_id: UUID) -> Iterator[None]:
    """Run as this person while what was presented is compared; when that fails, as before."""
    set_identity(Identity(profile_id))
    try:
        yield
    except ValidationError:
        set_identity(get_facts(context.request).identity)
        raise


class LoginForm(AllauthLoginForm):
    """Signs in with a password; says what its box does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["remember"].label = "Keep me signed in on this device"


class ResetPasswordForm(AllauthResetPasswordForm):
    """Sends the link to the one who signs in with the address; says the same when there is none."""

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        found = find_sign_in(email)
        self._profile_id = found.profile_id if found and found.is_active else None
        self.users: list[Profile] = []
        return email

    def save(self, request: HttpRequest, **kwargs: Any) -> str:
        if self._profile_id is None:
            return super().save(request, **kwargs)
        with read_as(self._profile_id):
            self.users = [Profile.objects.get(pk=self._profile_id)]
            email = super().save(request, **kwargs)
        set_identity(get_facts(request).identity)
        return email


class UserTokenForm(AllauthUserTokenForm):
    """Checks the link of a password reset; one that is right makes its reader that person."""

    def clean(self) -> dict[str, Any]:
        try:
            profile_id = UUID(self.cleaned_data.get("uidb36", ""))
        except ValueError:
            raise get_adapter().validation_error("invalid_password_reset") from None
        with read_as(profile_id):
            cleaned: dict[str, Any] = super().clean()  # type: ignore[no-untyped-call]
        return cleaned


class ActivateTOTPForm(AllauthActivateTOTPForm):
    """Turns an authenticator app on; asks in plain words for what it shows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].label = "Code that the app shows now"


class AddWebAuthnForm(AllauthAddWebAuthnForm):
    """Adds a key; says what its box does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].label = "What you call this key"
        passwordless = self.fields["passwordless"]
        passwordless.label = "Sign in with this key alone (a passkey)"
        passwordless.help_text = (
            "Then you need no password. The key must ask for your finger, your face or a PIN."
        )


class LoginWebAuthnForm(AllauthLoginWebAuthnForm):
    """Signs in with a passkey: it names its person, and its signature proves it."""

    def clean_credential(self) -> Any:
        answer = self.cleaned_data["credential"]
        try:
            handle = websafe_decode(answer["response"]["userHandle"]).decode()
            profile_id = UUID(handle)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise get_adapter().validation_error("incorrect_code") from None
        with read_as(profile_id):
            return super().clean_credential()
