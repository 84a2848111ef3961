"""Which URLs and addresses webhooks may go to: public ones only (Sections 6.2 and 12.8).

The form of a URL is checked when a subscription is created, the addresses behind its name then and again at every
connection. Whatever spelling leads to an address, it is the address that counts.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

from durable_streams.subscriptions.errors import WebhookUrlRejected

LONGEST_URL = 2048

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?:[/?][A-Za-z0-9\-._~!$&'()*+,;=:@/?%]*)?",
    re.ASCII,
)
_DOTTED_QUAD = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})", re.ASCII)
_ENDS_IN_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)", re.ASCII)
_LOOPBACK_NAME = re.compile(r"(?:.*\.)?localhost", re.ASCII)

_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = [
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, among them Teredo, which carries IPv4 addresses
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries IPv4 addresses
        "3fff::/20",  # documentation
    )
]
_NOT_PUBLIC_4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind carriers; some clouds have their metadata service there
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local; the metadata service of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
]
_PUBLIC_BUT_INTERNAL = frozenset({IPv4Address("168.63.129.16")})
"""Addresses from public ranges that lead to the host's own platform."""

_ISATAP = (0x00005EFE, 0x02005EFE)


class WebhookTarget(NamedTuple):
    """Where a webhook URL leads: ``host`` without brackets. ``loopback`` targets may be nowhere but on this machine."""

    host: str
    port: int
    loopback: bool

    def admits(self, address: str) -> bool:
        """Whether a connection may go to an IP address that the host's name stands for."""
        found = _embedded(ip_address(address.partition("%")[0]))
        return found.is_loopback if self.loopback else is_public(found)


def webhook_target(url: str, allow_loopback: bool) -> WebhookTarget:
    """The target of a webhook URL, as far as it can be checked without asking a name server.

    ``allow_loopback`` lets http lead to this machine, for development. Raises ``WebhookUrlRejected``.
    """
    parts = _URL.fullmatch(url)
    if parts is None or len(url) > LONGEST_URL:
        raise WebhookUrlRejected(url, "must be an absolute https URL in ASCII, without user, password or fragment")
    host = parts["host"].strip("[]").lower()
    secure = parts["scheme"] == "https"
    port = int(parts["port"] or (443 if secure else 80))
    if not 0 < port < 65536:
        raise WebhookUrlRejected(url, "must have a port from 1 to 65535")
    if not secure and not allow_loopback:
        raise WebhookUrlRejected(url, "must use https")
    target = WebhookTarget(host, port, loopback=not secure)
    literal = _literal(url, host)
    may_be_there = (
        bool(_LOOPBACK_NAME.fullmatch(host)) is target.loopback if literal is None else target.admits(str(literal))
    )
    if not may_be_there:
        raise refused(url, target)
    return target


def refused(url: str, target: WebhookTarget) -> WebhookUrlRejected:
    """The refusal of a target whose address is not admitted."""
    return WebhookUrlRejected(url, "must use https" if target.loopback else "must lead to a public address")


def _literal(url: str, host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is written as, in one of the two usual forms; None for a name."""
    if ":" in host or _DOTTED_QUAD.fullmatch(host):
        try:
            return ip_address(host)
        except ValueError:
            pass
    elif not _ENDS_IN_A_NUMBER.fullmatch(host):
        return None
    raise WebhookUrlRejected(url, "must have a host name, or an address as four decimal numbers or in brackets")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of a host anywhere on the Internet, and not of this machine or its network."""
    if isinstance(address, IPv4Address):
        return address not in _PUBLIC_BUT_INTERNAL and not any(address in network for network in _NOT_PUBLIC_4)
    if address not in _GLOBAL_UNICAST or any(address in network for network in _NOT_PUBLIC_6):
        return False
    return (int(address) >> 32) & 0xFFFFFFFF not in _ISATAP


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address to which the network turns an IPv6 address, where it does."""
    if isinstance(address, IPv6Address) and (address in _MAPPED or address in _NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
