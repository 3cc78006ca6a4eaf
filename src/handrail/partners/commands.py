"""`handrail provider configure` and `handrail provider list`."""

import json
import re
import sys
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from handrail.core.refusal import Refusal

if TYPE_CHECKING:
    from handrail.partners.models import Provider

WEBHOOK_SECRET = "webhook_secret"  # noqa: S105 - a name
_MOST_BYTES = 64 * 1024
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DURATION = re.compile(r"(\d{1,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}

Organization = Annotated[str, typer.Option(help="Slug; needed where two have such a provider.")]


class SecretsRefused(Refusal):
    """What stands on standard input is neither JSON nor KEY=VALUE lines."""


def configure(
    slug: Annotated[str, typer.Argument(help="The provider's slug.")],
    *,
    organization: Organization = "",
    base_url: Annotated[str | None, typer.Option(help="Where the partner's API is.")] = None,
    link_url: Annotated[str | None, typer.Option(help="Where learners go in link mode.")] = None,
    mode: Annotated[str | None, typer.Option(help="api, link or hybrid.")] = None,
    previous_ends: Annotated[
        str,
        typer.Option(help="So long the webhook secret of before stays valid: 30m, 24h, 7d, 0h."),
    ] = "24h",
) -> None:
    """Set a provider's address and secrets. What is not given stays as it is.

    Secrets are read from standard input, as a JSON object or as lines KEY=VALUE: `webhook_secret`,
    and the credentials of its API (`api_key` and `organization_id` for the partners that come with
    Handrail). An empty value takes a credential out.
    """
    from django.db import transaction

    from handrail.partners.actions import configure_provider, find_provider, rotate_webhook_secret

    keep = read_duration(previous_ends)
    provider = find_provider(slug, organization_slug=organization)
    given = _take_secrets(asked=not any((base_url, link_url, mode)))
    webhook_secret = given.pop(WEBHOOK_SECRET, "")
    _check_names(provider, given)
    with transaction.atomic():
        if webhook_secret:
            rotate_webhook_secret(provider, webhook_secret, keep=keep)
        provider = configure_provider(
            provider.id, base_url=base_url, link_url=link_url, mode=mode, credentials=given or None
        )
    for line in describe_provider(provider):
        typer.echo(line)


def list_all(*, organization: Organization = "") -> None:
    """List the providers: address, what is set, and where their webhooks arrive."""
    from handrail.partners.models import Provider

    found = Provider.objects.select_related("organization").filter(archived_at=None)
    if organization:
        found = found.filter(organization__slug=organization)
    first = True
    for provider in found.order_by("organization__slug", "slug").iterator(chunk_size=200):
        if not first:
            typer.echo("")
        first = False
        for line in describe_provider(provider):
            typer.echo(line)
    if first:
        typer.echo("There is no provider yet. Describe some: handrail import-catalog FILE")


def describe_provider(provider: "Provider") -> Iterable[str]:
    """What is set, in lines for the terminal; of secrets only that they are there."""
    from django.conf import settings

    from handrail.core.crypto import CannotDecrypt, Keyring
    from handrail.partners.endpoints import find_endpoint
    from handrail.partners.providers import open_credentials

    yield f"{provider.organization.slug}/{provider.slug}: {provider.name}"
    yield f"  adapter      {provider.adapter}, mode {provider.mode}"
    if provider.base_url or provider.mode != "link":
        yield f"  API          {provider.base_url or 'no address yet'}"
    if provider.link_url or provider.mode != "api":
        yield f"  link         {provider.link_url or 'none yet'}"
    try:
        keyring = Keyring(settings.HANDRAIL_SECRET_KEYS)
        names = sorted(open_credentials(provider.id, provider.credentials, keyring))
    except CannotDecrypt as error:
        yield f"  credentials  cannot be read: {error}. Enter them again"
    else:
        yield f"  credentials  {', '.join(names) or 'none yet'}"
    endpoint = find_endpoint(provider)
    if endpoint is None or endpoint.scheme is None:
        yield "  webhooks     it sends none"
    else:
        has = "secret set" if endpoint.has_secret else "no secret yet"
        yield f"  webhooks     {endpoint.url} ({endpoint.scheme}, {has})"
        if endpoint.previous_ends_at is not None:
            until = f"{endpoint.previous_ends_at:%Y-%m-%d %H:%M} UTC"
            yield f"               the secret of before counts until {until}"


def read_duration(text: str) -> timedelta:
    """A time such as 30m, 24h or 7d.

    Raises:
        typer.BadParameter: it is none.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no time; write one such as 30m, 24h or 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def read_secrets(text: str) -> dict[str, str]:
    """Names with their values, from a JSON object or from KEY=VALUE lines.

    Raises:
        SecretsRefused: with what is wrong; values are not repeated.
    """
    if text.lstrip().startswith("{"):
        try:
            pairs = json.loads(text, object_pairs_hook=list)  # a name may be there twice
        except (ValueError, RecursionError) as error:
            raise SecretsRefused("The secrets are no JSON object.") from error
        if not all(isinstance(value, str) for _, value in pairs):
            raise SecretsRefused("In the JSON of the secrets each value must be a text.")
    else:
        pairs = []
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip() and not line.lstrip().startswith("#"):
                name, sign, value = line.partition("=")
                if not sign:
                    raise SecretsRefused(f"Line {number} of the secrets is not KEY=VALUE.")
                pairs.append((name.strip(), value.strip()))
    return _check_secrets(pairs)


def _check_secrets(pairs: list[tuple[str, str]]) -> dict[str, str]:
    for name, value in pairs:
        if not _NAME.fullmatch(name):
            raise SecretsRefused(
                f"{name[:60]!r} cannot name a secret; write small letters, digits and _, as in api_key"
            )
        if not value.isprintable():
            raise SecretsRefused(f"The value of {name} holds a control character.")
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise SecretsRefused("A secret is there twice.")
    return dict(pairs)


def _check_names(provider: "Provider", given: dict[str, str]) -> None:
    """Refuse what the partner's adapter never asks for; to take such a thing out is fine."""
    from handrail.partners.registry import get_adapter

    known = get_adapter(provider.adapter).credential_names
    unknown = [name for name, value in given.items() if value and name not in known]
    if unknown:
        raise SecretsRefused(
            f"{provider.slug} has no use for {', '.join(unknown)}. Nothing was changed. "
            f"It takes: {', '.join((*known, WEBHOOK_SECRET))}."
        )


def _take_secrets(*, asked: bool) -> dict[str, str]:
    """What stands on standard input; a person is asked where nothing else is to be set."""
    if not sys.stdin.isatty():
        try:
            text = sys.stdin.read(_MOST_BYTES + 1)
        except UnicodeError:
            raise SecretsRefused("What stands on standard input is not UTF-8.") from None
        if len(text) > _MOST_BYTES:
            raise SecretsRefused("There is more on standard input than secrets can be.")
        return read_secrets(text)
    if not asked:
        return {}
    import getpass

    lines = []
    while line := getpass.getpass("KEY=VALUE (not shown; an empty line ends): "):
        lines.append(line)
    return read_secrets("\n".join(lines))
