"""Tokens as clients make them, and as attackers would."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import msgspec

from tollgate.oauth import base64url
from tollgate.oauth.access_tokens import VerifiedAccessToken
from tollgate.oauth.signing_keys import SigningKey


def compact(
    header: Mapping[str, Any] | bytes,
    payload: Mapping[str, Any] | bytes,
    sign: Callable[[bytes], bytes],
) -> str:
    """A compact JWS with any header and payload, sensible or not."""
    segments = ".".join(
        base64url.encode(
            part if isinstance(part, bytes) else msgspec.json.encode(dict(part))
        )
        for part in (header, payload)
    )
    return f"{segments}.{base64url.encode(sign(segments.encode()))}"


def signed(
    key: SigningKey, payload: Mapping[str, Any] | bytes, **header: object
) -> str:
    """A JWS by `key`. A header member given as None is left out."""
    members = {"alg": key.public.alg.value, "kid": key.kid, "typ": "JWT"} | header
    present = {name: value for name, value in members.items() if value is not None}
    return compact(present, payload, key.sign)


def client_assertion(
    key: SigningKey, *, client_id: str, issuer: str, now: float, **claims: object
) -> str:
    """What Segment's Python SDK sends; a claim given as None is left out."""
    members = {
        "iss": client_id,
        "sub": client_id,
        "aud": issuer,
        "iat": int(now) - 5,
        "exp": int(now) + 55,
        "jti": str(uuid4()),
    } | claims
    present = {name: value for name, value in members.items() if value is not None}
    return signed(key, present)


_VERIFIED = VerifiedAccessToken(
    signing_kid="kid",
    client_id="app_1",
    jti="jti-1",
    audiences=frozenset(),
    scopes=frozenset(),
    key="kid-1/2",
    rev=0,
    iat=0.0,
    exp=1.0,
)


def verified_access_token(**told: object) -> VerifiedAccessToken:
    """What was found of a token; members that are not `told` are of no concern."""
    return msgspec.structs.replace(_VERIFIED, **told)
