"""How django-allauth behaves here."""

import base64
import io
from typing import Any

import segno
from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.http import HttpRequest

from handrail.core.crypto import Keyring, Place
from handrail.people.models import Profile

_SECRETS = Place("mfa_authenticator", "", "data")


class AccountAdapter(DefaultAccountAdapter):
    """Nobody signs up by himself yet: profiles are made by commands, and keep their address."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "email_password_mismatch": "This email address and this password are not correct together. "
        "Check both, or choose a new password.",
        "too_many_login_attempts": "Too many wrong attempts. Wait 5 minutes, or choose a new password.",
        "incorrect_password": "This is not your password. Type it once more.",
        "incorrect_code": "This code is not correct, or it is too old. Enter the newest one.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Answer no; the page then says whom to ask."""
        return False

    def set_password(self, user: Any, password: str) -> None:
        """Save the password alone: the web may write no other column of the sign-in.

        Whoever was locked out by wrong attempts may sign in with the new one at once.
        """
        profile: Profile = user
        profile.set_password(password)
        profile.save(update_fields=["password"])
        self._delete_login_attempts_cached_email(self.request, email=profile.email)

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address that uvicorn found, which believes trusted proxies only."""
        return str(request.META.get("REMOTE_ADDR") or "unknown")

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send a message; its templates name our own address, never the Host of the request."""
        super().send_mail(
            template_prefix, email, context | {"base_url": settings.HANDRAIL_BASE_URL}
        )

    def send_notification_mail(
        self,
        template_prefix: str,
        user: Any,
        context: dict[str, Any] | None = None,
        email: str | None = None,
    ) -> None:
        """Tell of a change to the sign-in; allauth does it also after the commit, as nobody."""
        super().send_notification_mail(template_prefix, user, context, email or user.email)

    def get_reset_password_from_key_url(self, key: str) -> str:
        """Return the link of the message: to our own address, whatever Host the request named."""
        path = super().get_reset_password_from_key_url(key).partition("/accounts/")[2]
        return f"{settings.HANDRAIL_BASE_URL}/accounts/{path}"


class MFAAdapter(DefaultMFAAdapter):
    """Seals the secrets of second factors, and draws QR codes with the library we have."""

    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": AccountAdapter.error_messages["incorrect_code"],
        "cannot_delete_authenticator": "This second step of your sign-in cannot be turned off.",
        "cannot_generate_recovery_codes": "Recovery codes are for those who have turned an "
        "authenticator app or a key on. Do that first.",
    }

    def encrypt(self, text: str) -> str:
        """Return the secret sealed with the installation's current key."""
        return base64.b64encode(_open_keyring().encrypt(text.encode(), place=_SECRETS)).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Return the secret in clear."""
        sealed = base64.b64decode(encrypted_text)
        return _open_keyring().decrypt(sealed, place=_SECRETS).decode()

    def build_totp_svg(self, url: str) -> str:
        """Return the QR code that an authenticator app scans."""
        drawn = io.BytesIO()
        segno.make(url, error="m", micro=False).save(drawn, kind="svg", scale=4, border=4)
        return drawn.getvalue().decode()


def _open_keyring() -> Keyring:
    return Keyring(settings.HANDRAIL_SECRET_KEYS)
