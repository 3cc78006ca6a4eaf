"""Providers as the worker calls them: configuration with the credentials opened, adapter, client."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from handrail.core.crypto import CannotDecrypt, Keyring, Place
from handrail.core.outbound import CALLS_AT_ONCE, OutboundClient, OutboundPool
from handrail.core.service_connection import ServiceConnection
from handrail.partners.protocol import Adapter, PartnerCall, ProviderConfig
from handrail.partners.registry import UnknownAdapter, get_adapter

_LOAD = """
select id::text, slug, adapter, base_url, credentials, settings, xmin::text
from partner_lms_providers where id = any (%b::text[]::uuid[])
"""
_VERSIONS = """
select id::text, xmin::text from partner_lms_providers where id = any (%b::text[]::uuid[])
"""


class _Row(NamedTuple):
    id: str
    slug: str
    adapter: str
    base_url: str
    credentials: bytes | None
    settings: dict[str, Any]
    version: str


@dataclass(frozen=True, slots=True)
class BoundProvider:
    """A provider ready to be called."""

    config: ProviderConfig
    adapter: Adapter
    client: OutboundClient
    version: str
    """Changes with the provider's row."""

    def call(self, idempotency_key: str) -> PartnerCall:
        """What the adapter's methods take."""
        return PartnerCall(self.client, self.config, idempotency_key)


def place_of_credentials(provider_id: UUID) -> Place:
    """Where a provider's credentials are sealed for."""
    return Place("partner_lms_providers", str(provider_id), "credentials")


def open_credentials(
    provider_id: UUID, sealed: bytes | memoryview | None, keyring: Keyring
) -> dict[str, str]:
    """The credentials in clear; empty when none are set.

    Raises:
        CannotDecrypt: their key is not configured, or they were altered.
    """
    if sealed is None:
        return {}
    plain = keyring.decrypt(bytes(sealed), place=place_of_credentials(provider_id))
    opened: dict[str, str] = json.loads(plain)
    return opened


def seal_credentials(provider_id: UUID, credentials: Mapping[str, str], keyring: Keyring) -> bytes:
    """The credentials as they are stored."""
    plain = json.dumps(dict(credentials)).encode()
    return keyring.encrypt(plain, place=place_of_credentials(provider_id))


def bind_provider(config: ProviderConfig, pool: OutboundPool) -> OutboundClient:
    """The provider's client; its credentials are kept out of the words it passes on."""
    return pool.bind(
        provider=str(config.id),
        base_url=config.base_url,
        secrets=config.credentials.values(),
        calls_at_once=CALLS_AT_ONCE,
    )


class Unusable(Exception):
    """A provider that cannot be called until a person mends it; the message says what is wrong."""


class ProviderCache:
    """The providers a worker calls. `refresh` forgets those that were changed."""

    def __init__(
        self, connection: ServiceConnection, *, pool: OutboundPool, keyring: Keyring
    ) -> None:
        self._connection = connection
        self._pool = pool
        self._keyring = keyring
        self._bound: dict[str, BoundProvider | Unusable] = {}

    async def get(self, provider_ids: Collection[str]) -> Mapping[str, BoundProvider | Unusable]:
        """These providers, each as it can be called or with what is wrong.

        Raises:
            DatabaseAway: try again later.
        """
        # Held here: a refresh may forget one while another is loaded.
        bound = {each: self._bound[each] for each in provider_ids if each in self._bound}
        missing = [each for each in provider_ids if each not in bound]
        return {**bound, **await self._load(missing)} if missing else bound

    async def refresh(self) -> None:
        """Forget the providers whose row is another one now, and those that cannot be called.

        Raises:
            DatabaseAway: try again later.
        """
        asked = list(self._bound)
        if not asked:
            return
        versions = dict(await self._connection.fetch(_VERSIONS, (asked,)))
        for each in asked:
            bound = self._bound.get(each)
            if not isinstance(bound, BoundProvider) or versions.get(each) != bound.version:
                self._bound.pop(each, None)

    async def _load(self, provider_ids: list[str]) -> Mapping[str, BoundProvider | Unusable]:
        found: dict[str, BoundProvider | Unusable] = dict.fromkeys(
            provider_ids, Unusable("the provider is gone")
        )
        for row in await self._connection.fetch(_LOAD, (provider_ids,)):
            found[row[0]] = self._bind(_Row._make(row))
        self._bound.update(found)
        return found

    def _bind(self, row: _Row) -> BoundProvider | Unusable:
        try:
            config = ProviderConfig(
                id=UUID(row.id),
                slug=row.slug,
                base_url=row.base_url,
                credentials=open_credentials(UUID(row.id), row.credentials, self._keyring),
                settings=row.settings,
            )
            adapter = get_adapter(row.adapter)
        except (CannotDecrypt, UnknownAdapter) as error:
            return Unusable(str(error))
        return BoundProvider(config, adapter, bind_provider(config, self._pool), row.version)
