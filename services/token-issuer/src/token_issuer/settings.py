"""What an operator can set."""

import base64
import binascii
import ipaddress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta

from token_issuer.access_tokens import MAX_LIFETIME
from token_issuer.key_life import KeyPolicy
from token_issuer.sealing import KEY_SIZE
from tollgate.messaging.feed import FeedReader
from tollgate.oauth.scopes import DEFAULT_AUDIENCES, Scope
from tollgate.service_settings import (
    FunctionsAudience,
    OwnerSettings,
    Port,
    PublicApiAudience,
    TrackingApiAudience,
)
from tollgate.settings import Secret

PREFIX = "TOKEN_ISSUER"

LEAD_MARGIN = 0.2
"""By what part of `max_age` a key is announced for longer before it signs."""

TAIL_MARGIN = timedelta(days=1)
"""For replicas that sign a little longer than they should, and for clocks."""


class Settings(OwnerSettings, frozen=True, kw_only=True):
    port: Port = 8082
    issuer: Annotated[
        str,
        Meta(
            description="identifier of this issuer: the URL that clients are given, "
            "without a slash at the end; https but on loopback"
        ),
    ]
    registry_url: Annotated[
        str, Meta(description="the app-registry, whose log is read from there")
    ]
    registry_feed_secret: Annotated[
        Secret,
        Meta(description="the credential for that log, of a reader of whole rows"),
    ]
    key_encryption_keys: Annotated[
        tuple[Secret, ...],
        Meta(
            description="32 random bytes each, in base64: the first encrypts the "
            "private signing keys, all of them decrypt"
        ),
    ]
    feed_readers: Annotated[
        tuple[FeedReader, ...],
        Meta(
            description="services that may read the logs: "
            '`[{"name": …, "secrets": [one or two], "logs": ["tokens", "issuance"], '
            '"whole": false}]`'
        ),
    ] = ()
    introspection_secrets: Annotated[
        tuple[Secret, ...],
        Meta(
            description="bearer credentials of services that may introspect every "
            "token; two during a change"
        ),
    ] = ()
    signing_alg: Annotated[
        Literal["ES256", "RS256"],
        Meta(description="algorithm of the signing keys that are made from now on"),
    ] = "ES256"
    signing_key_interval: Annotated[
        timedelta, Meta(description="how long a signing key signs")
    ] = timedelta(days=90)
    tracking_api_audience: TrackingApiAudience = DEFAULT_AUDIENCES[
        Scope.TRACKING_API_WRITE
    ]
    functions_audience: FunctionsAudience = DEFAULT_AUDIENCES[Scope.FUNCTIONS_WRITE]
    public_api_audience: PublicApiAudience = DEFAULT_AUDIENCES[
        Scope.PUBLIC_API_READ_WRITE
    ]
    tokens_per_minute: Annotated[
        int,
        Meta(ge=1, description="tokens that one app may ask one process for"),
    ] = 6000
    failures_per_minute: Annotated[
        int,
        Meta(
            ge=1,
            description="refused requests of one address before it has to wait",
        ),
    ] = 600
    patience: Annotated[
        timedelta,
        Meta(
            description="how long a request waits for passing trouble to be over, "
            "before it is told to come back later"
        ),
    ] = timedelta(seconds=5)
    publish_issuance: Annotated[
        bool, Meta(description="whether the issuance log is published as well")
    ] = False
    snapshot_path: Annotated[
        Path | None,
        Meta(
            description="file to keep the registry log's state in, to start from while "
            "the app-registry is down"
        ),
    ] = None

    def __post_init__(self) -> None:
        """Raises `ValueError` for what types cannot say."""
        super().__post_init__()
        _require_issuer(self.issuer)
        for key in self.key_encryption_keys:
            _octets_of(key)
        if not self.key_encryption_keys:
            raise ValueError("give at least one key-encryption key")

    @property
    def audiences(self) -> dict[Scope, str]:
        """The door of each scope (RFC 9068 §3)."""
        return {
            Scope.TRACKING_API_WRITE: self.tracking_api_audience,
            Scope.FUNCTIONS_WRITE: self.functions_audience,
            Scope.PUBLIC_API_READ_WRITE: self.public_api_audience,
        }

    @property
    def key_policy(self) -> KeyPolicy:
        return KeyPolicy(
            rotation_interval=self.signing_key_interval,
            lead=self.max_age * (1 + LEAD_MARGIN),
            tail=timedelta(seconds=MAX_LIFETIME) + TAIL_MARGIN,
        )

    @property
    def sealing_keys(self) -> list[bytes]:
        return [_octets_of(key) for key in self.key_encryption_keys]


def _require_issuer(issuer: str) -> None:
    """RFC 8414 §2: an https URL without query or fragment."""
    parts = urlsplit(issuer)
    if parts.scheme != "https" and not (
        parts.scheme == "http" and _is_loopback(parts.hostname)
    ):
        raise ValueError("issuer must be an https URL, or http on loopback")
    if not parts.hostname or parts.username or "?" in issuer or "#" in issuer:
        raise ValueError("issuer must be a URL with a host, without user or query")
    if issuer.endswith("/") or not issuer.isascii() or not issuer.isprintable():
        raise ValueError("issuer must be ASCII and not end in a slash")


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _octets_of(key: Secret) -> bytes:
    try:
        octets = base64.b64decode(key.reveal(), validate=True)
    except (binascii.Error, ValueError):
        octets = b""
    if len(octets) != KEY_SIZE:
        raise ValueError(f"a key-encryption key is {KEY_SIZE} bytes in base64")
    return octets
