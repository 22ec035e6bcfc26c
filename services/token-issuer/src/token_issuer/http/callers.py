"""Who sent a request, as far as addresses tell."""

import ipaddress
from functools import lru_cache

from aiohttp import web
from aiohttp.hdrs import X_FORWARDED_FOR

from token_issuer.callers import Caller
from tollgate.http.addresses import Network, client_address
from tollgate.http.request_ids import request_id_of

_HOST_BITS = 64


def caller_of(request: web.Request, trusted: tuple[Network, ...]) -> Caller:
    return Caller(
        address=client_address(
            request.remote, request.headers.getall(X_FORWARDED_FOR, ()), trusted
        ),
        request_id=request_id_of(request),
    )


@lru_cache(maxsize=4096)
def household_of(address: str) -> str:
    """Whom an address is counted for: one host has a whole /64 of IPv6 to itself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:  # noqa: PLR2004
        return address
    network = ipaddress.ip_network((parsed, _HOST_BITS), strict=False)
    return str(network.network_address)
