"""Where a request comes from, also through proxies that we trust."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

UNKNOWN = "unknown"

MAX_HOPS = 20
"""Addresses of X-Forwarded-For that are looked at, from the last one on."""


_WITH_PORT = re.compile(
    r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::[0-9]{1,5})?", re.ASCII
).fullmatch


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks as settings have them; raises `ValueError`."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def client_address(
    peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]
) -> str:
    """The address of the client, as far as it can be believed.

    `forwarded_for` are the X-Forwarded-For fields as received. They are read from the
    end: each trusted proxy vouches for the address that it added, and for no other.
    """
    if not forwarded_for:
        return _spelling_of(peer or "")
    address = _parse(peer or "")
    if address is None:
        return UNKNOWN
    hops = [hop.strip() for field in forwarded_for for hop in field.split(",")]
    for hop in reversed(hops[-MAX_HOPS:]):
        if not _is_in(address, trusted):
            break
        added = _parse(_without_port(hop))
        if added is None:
            break
        address = added
    return str(address)


@lru_cache(maxsize=4096)
def _spelling_of(peer: str) -> str:
    """The one way in which we write the address of a peer."""
    address = _parse(peer)
    return UNKNOWN if address is None else str(address)


def _without_port(hop: str) -> str:
    """Some proxies add it: `192.0.2.1:4711`, `[2001:db8::1]:4711`."""
    match = _WITH_PORT(hop)
    return hop if match is None else match[1] or match[2]


def _parse(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)  # ::ffff:192.0.2.1 of a dual socket
    return mapped or address


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
