"""What is done with providers, as the service role."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from handrail.core.crypto import Keyring
from handrail.core.refusal import Refusal
from handrail.organizations.models import Organization
from handrail.partners.endpoints import Endpoint, find_endpoint, save_endpoint, set_webhook_secret
from handrail.partners.models import Provider
from handrail.partners.protocol import Offers
from handrail.partners.providers import open_credentials, seal_credentials
from handrail.partners.registry import get_adapter
from handrail.partners.url_rules import find_call_url_problem, find_link_problem

MODES = ("api", "link", "hybrid")
_after_configuration: list[Callable[[UUID], None]] = []


class ProviderRefused(Refusal):
    """There is no such provider, or what is to be set cannot be used."""


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """What a provider is described by. `webhook_scheme` None: it sends no webhooks."""

    slug: str
    name: str
    adapter: str
    mode: str
    webhook_scheme: str | None = None


def find_provider(slug: str, *, organization_slug: str = "") -> Provider:
    """The provider of this slug, which must be the only one where no organization is named.

    Raises:
        ProviderRefused: there is none, or several organizations have one of this name.
    """
    found = Provider.objects.select_related("organization").filter(slug=slug)
    if organization_slug:
        found = found.filter(organization__slug=organization_slug)
    some = list(found.order_by("organization__slug")[:5])
    if not some:
        where = f" in {organization_slug}" if organization_slug else ""
        raise ProviderRefused(
            f"There is no provider {slug!r}{where}. They are listed by: handrail provider list"
        )
    if len(some) > 1:
        owners = ", ".join(each.organization.slug for each in some)
        raise ProviderRefused(f"Say whose {slug}, by --organization: {owners}")
    return some[0]


def save_provider(organization: Organization, facts: ProviderFacts) -> str:
    """Create or update a provider and its endpoint: "created", "changed" or "same".

    Raises:
        ProviderRefused: it has another adapter, which nobody can change: the ids that are known
            here are those of the other platform.
    """
    offers = get_adapter(facts.adapter).offers
    provider = Provider.objects.filter(organization=organization, slug=facts.slug).first()
    became = "same" if provider else "created"
    if provider is None:
        provider = Provider(organization=organization, slug=facts.slug, adapter=facts.adapter)
    if provider.adapter != facts.adapter:
        raise ProviderRefused(
            f"it has the adapter {provider.adapter}, which cannot be changed; "
            "describe the other platform as a provider with another slug"
        )
    before = _describe(provider)
    provider.name, provider.mode = facts.name, facts.mode
    copy_offers(provider, offers)
    if became == "created":
        provider.save(force_insert=True)
    elif _describe(provider) != before:
        provider.save()
        became = "changed"
    endpoint = save_endpoint(
        provider, organization_slug=organization.slug, scheme=facts.webhook_scheme
    )
    return "changed" if became == "same" and endpoint != "same" else became


def register_configured(handler: Callable[[UUID], None]) -> None:
    """Have `handler` called, in the same transaction, with each provider that was configured anew."""
    _after_configuration.append(handler)


def configure_provider(
    provider_id: UUID,
    *,
    base_url: str | None = None,
    link_url: str | None = None,
    mode: str | None = None,
    credentials: Mapping[str, str] | None = None,
    more_settings: Mapping[str, Any] | None = None,
) -> Provider:
    """Set a provider's addresses, mode, credentials and settings; None leaves each.

    Credentials and settings are merged by name; one that is set to "" or None is taken out. Running
    workers call with the new ones within seconds; calls that waited for it are made again.

    Raises:
        Provider.DoesNotExist: there is no such provider.
        ProviderRefused: an address or the mode cannot be used.
        UnknownAdapter: its adapter is not known here.
        CannotDecrypt: credentials are to be merged with others that cannot be read any more.
    """
    _refuse_bad(base_url=base_url, link_url=link_url, mode=mode)
    keyring = Keyring(settings.HANDRAIL_SECRET_KEYS)
    with transaction.atomic():
        provider = Provider.objects.select_for_update().get(id=provider_id)
        provider.base_url = provider.base_url if base_url is None else base_url
        provider.link_url = provider.link_url if link_url is None else link_url
        provider.mode = mode or provider.mode
        if credentials is not None:
            known = open_credentials(provider.id, provider.credentials, keyring)
            merged = {name: value for name, value in (known | dict(credentials)).items() if value}
            provider.credentials = seal_credentials(provider.id, merged, keyring)
        if more_settings is not None:
            merged_settings = provider.settings | dict(more_settings)
            provider.settings = {k: v for k, v in merged_settings.items() if v not in ("", None)}
        copy_offers(provider, get_adapter(provider.adapter).offers)
        provider.configured_at = Now()
        provider.save()
        provider.refresh_from_db(fields=["configured_at"])
        for handler in _after_configuration:
            handler(provider.id)
    return provider


def rotate_webhook_secret(provider: Provider, secret: str, *, keep: timedelta) -> Endpoint:
    """Set the secret that the provider signs with; the one of before counts for `keep` longer.

    With the present secret nothing changes, but that the one of before counts no longer than that.
    Returns the endpoint as it is now.

    Raises:
        SecretRefused: the endpoint's scheme cannot use it.
        ProviderRefused: the provider has no endpoint.
    """
    with transaction.atomic():
        endpoint = find_endpoint(provider)
        if endpoint is None:
            raise ProviderRefused(f"The provider {provider.slug} has no endpoint for webhooks.")
        ends_at = datetime.now(UTC) + keep if keep else None
        set_webhook_secret(endpoint, secret, previous_ends_at=ends_at)
        return find_endpoint(provider) or endpoint


def copy_offers(provider: Provider, offers: Offers) -> None:
    """Write down with the provider what SQL decides by; `save` is the caller's."""
    provider.offers_lookup = offers.find_account and offers.find_enrollment
    provider.offers_unenroll = offers.unenroll
    provider.offers_progress = offers.progress


def _describe(provider: Provider) -> tuple[object, ...]:
    return (
        provider.name,
        provider.mode,
        provider.offers_lookup,
        provider.offers_unenroll,
        provider.offers_progress,
    )


def _refuse_bad(*, base_url: str | None, link_url: str | None, mode: str | None) -> None:
    problems = {
        "base URL": find_call_url_problem(base_url) if base_url else "",
        "link": find_link_problem(link_url) if link_url else "",
        "mode": "" if mode is None or mode in MODES else f"write one of {', '.join(MODES)}",
    }
    told = [
        f"The {name} cannot be used: {problem}." for name, problem in problems.items() if problem
    ]
    if told:
        raise ProviderRefused(" ".join(told))
