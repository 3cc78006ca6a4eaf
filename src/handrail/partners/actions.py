"""What is done with providers."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from handrail.core.crypto import Keyring
from handrail.partners.models import Provider
from handrail.partners.protocol import Offers
from handrail.partners.providers import open_credentials, seal_credentials
from handrail.partners.registry import get_adapter


def configure_provider(
    provider_id: UUID,
    *,
    base_url: str | None = None,
    credentials: Mapping[str, str] | None = None,
    more_settings: Mapping[str, Any] | None = None,
) -> Provider:
    """Set a provider's address, credentials and settings, as the service role; None leaves each.

    Credentials and settings are merged by name; one that is set to "" or None is taken out. Running
    workers call with the new ones within seconds.

    Raises:
        Provider.DoesNotExist: there is no such provider.
        UnknownAdapter: its adapter is not known here.
        CannotDecrypt: credentials are to be merged with others that cannot be read any more.
    """
    keyring = Keyring(settings.HANDRAIL_SECRET_KEYS)
    with transaction.atomic():
        provider = Provider.objects.select_for_update().get(id=provider_id)
        if base_url is not None:
            provider.base_url = base_url
        if credentials is not None:
            known = open_credentials(provider.id, provider.credentials, keyring)
            merged = {name: value for name, value in (known | dict(credentials)).items() if value}
            provider.credentials = seal_credentials(provider.id, merged, keyring)
        if more_settings is not None:
            merged_settings = provider.settings | dict(more_settings)
            provider.settings = {k: v for k, v in merged_settings.items() if v not in ("", None)}
        copy_offers(provider, get_adapter(provider.adapter).offers)
        provider.save()
    return provider


def copy_offers(provider: Provider, offers: Offers) -> None:
    """Write down with the provider what SQL decides by; `save` is the caller's."""
    provider.offers_lookup = offers.find_account and offers.find_enrollment
    provider.offers_unenroll = offers.unenroll
    provider.offers_progress = offers.progress
