"""Bodies that the admin API takes, with throw-away keys in them."""

from typing import Any

from tollgate.oauth.algorithms import Algorithm
from tollgate.testing.keys import signing_key


def app_body(name: str = "Shop", nth: int = 0, **changes: object) -> dict[str, Any]:
    """A new app with the throw-away key number `nth`."""
    return {
        "name": name,
        "public_key": key_body(nth),
        "token_lifetime": "1d",
        "scopes": ["tracking_api:write"],
    } | changes


def key_body(nth: int = 0, alg: Algorithm = Algorithm.ES256) -> dict[str, Any]:
    return {"name": f"key {nth}", "pem": signing_key(alg, nth).public.pem}


def kid_of(nth: int = 0, alg: Algorithm = Algorithm.ES256) -> str:
    return signing_key(alg, nth).public.kid


def source_body(name: str = "Backend", source_type: str = "python") -> dict[str, Any]:
    return {"name": name, "type": source_type}


def member_body(*roles: dict[str, Any], name: str = "Mia") -> dict[str, Any]:
    return {"name": name, "email": "mia@example.com", "roles": list(roles)}
