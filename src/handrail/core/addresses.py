"""Which addresses an outbound call may reach: the public internet, and what the installation lists.

A partner's address is typed in by an organization, so it is an attacker's choice: it must not
lead to our own database, to a neighbor in the private network or to the cloud's metadata service
(server-side request forgery).
"""

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from yarl import URL

# Metadata and host services that stand on addresses which count as global.
_NEVER_V4 = tuple(
    map(ipaddress.IPv4Network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24"))
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")  # all that is handed out as global unicast


class AddressRefused(OSError):
    """The address may not be reached from here; the message says why. A person must change it."""


class AddressPolicy:
    """The rule of one installation: public addresses, and the private hosts it lists."""

    __slots__ = ("_allowed",)

    def __init__(self, allowed_private_hosts: Iterable[tuple[str, int]]) -> None:
        """Take HANDRAIL_ALLOWED_PRIVATE_HOSTS as (host, port) pairs, host as in the address."""
        self._allowed = frozenset((host.lower(), port) for host, port in allowed_private_hosts)

    def check_url(self, url: URL) -> None:
        """Check what can be seen before a name is resolved.

        Raises:
            AddressRefused: not https (or http to a listed host), user info, a private literal.
        """
        host, port = url.host, url.port
        if not host or port is None or url.user is not None or url.raw_query_string or url.fragment:
            raise AddressRefused("the address must be https://host/path and nothing more")
        listed = (host.lower(), port) in self._allowed
        if url.scheme != "https" and not (url.scheme == "http" and listed):
            raise AddressRefused("the address must begin with https://")
        literal = _read_literal(host)
        if literal is not None and not self._admits(literal, listed=listed):
            raise AddressRefused(f"{host} is not a public address")

    def admits(self, *, host: str, port: int, address: str) -> bool:
        """Whether `host` may be reached at the `address` its name resolved to."""
        literal = _read_literal(address)
        listed = (host.lower(), port) in self._allowed
        return literal is not None and self._admits(literal, listed=listed)

    @staticmethod
    def _admits(address: IPv4Address | IPv6Address, *, listed: bool) -> bool:
        plain = _unwrap(address)
        if plain.is_link_local or plain.is_multicast or plain.is_unspecified:
            return False  # metadata services live on link-local addresses: not even when listed
        return listed or _is_public(plain)


def _read_literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _unwrap(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 one stands for (mapped, 6to4, NAT64), or itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _NEVER_V4)
    return address.is_global and address in _GLOBAL_V6 and address.teredo is None
