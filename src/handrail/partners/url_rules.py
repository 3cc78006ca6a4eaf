"""Addresses of partners that a person enters: checked before they are stored."""

import socket
from ipaddress import ip_address

from django.conf import settings
from yarl import URL

from handrail.core.addresses import AddressPolicy, AddressRefused

LONGEST = 500
_WEB = ("http", "https")


def find_call_url_problem(text: str) -> str:
    """Why we would not call this address; empty when we would.

    The rules of every call (`core.addresses`), and a name must not lead to a private address now;
    what it leads to later is checked at each call.
    """
    try:
        url = _read(text)
        policy = AddressPolicy(settings.HANDRAIL_ALLOWED_PRIVATE_HOSTS)
        policy.check_url(url)
    except (ValueError, AddressRefused) as error:
        return str(error)
    host, port = url.host or "", url.port or 0
    found = _resolve(host, port)
    if found and not any(policy.admits(host=host, port=port, address=each) for each in found):
        return f"{host} leads to {found[0]}, which is not a public address"
    return ""


def find_link_problem(text: str) -> str:
    """Why learners cannot be sent to this address; empty when they can.

    It is opened by a browser, not by us: https, or http to a host of the installation's list.
    """
    try:
        url = _read(text)
    except ValueError as error:
        return str(error)
    listed = (url.host or "", url.port or 0) in settings.HANDRAIL_ALLOWED_PRIVATE_HOSTS
    if url.scheme != "https" and not (url.scheme == "http" and listed):
        return "the address must begin with https://"
    if not url.host or url.user is not None:
        return "the address must be https://host/path, without a name and password"
    return ""


def _read(text: str) -> URL:
    if len(text) > LONGEST or not text.isprintable() or " " in text:
        raise ValueError(f"an address has no spaces and at most {LONGEST} characters")
    try:
        return URL(text)
    except ValueError as error:
        raise ValueError("this is no address; write one such as https://host/path") from error


def _resolve(host: str, port: int) -> list[str]:
    """What the name leads to now; nothing when it is an address itself, or cannot be found."""
    try:
        ip_address(host)
    except ValueError:
        pass
    else:
        return []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return []  # perhaps only from here and now: each call checks again
    return [str(entry[4][0]) for entry in found]
