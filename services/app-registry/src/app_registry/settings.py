"""What an operator can set."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from tollgate.http.addresses import parse_networks
from tollgate.http.server import Listener
from tollgate.messaging.feed import FeedReader
from tollgate.oauth.scopes import DEFAULT_AUDIENCES, Scope
from tollgate.registry.source_types import types_with_oauth
from tollgate.settings import Secret

PREFIX = "APP_REGISTRY"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    database_url: Annotated[
        Secret, Meta(description="the database, as the role that may append")
    ]
    owner_database_url: Annotated[
        Secret | None,
        Meta(description="the same as its owner; only `migrate` needs it"),
    ] = None
    amqp_url: Annotated[Secret, Meta(description="the broker, as this service's user")]
    issuer_url: Annotated[
        str,
        Meta(
            description="the token-issuer: it gets the revocations, and its logs are "
            "read there"
        ),
    ]
    issuer_feed_secret: Annotated[
        Secret,
        Meta(
            description="the credential for those logs (`tokens`, `issuance`), of a "
            "reader of whole rows"
        ),
    ]
    issuer: Annotated[
        str | None,
        Meta(
            description="the issuer's identifier, which its access tokens carry as "
            "`iss`; `issuer_url` if not set"
        ),
    ] = None
    public_api_audience: Annotated[
        str, Meta(description="`aud` of access tokens for the admin API")
    ] = DEFAULT_AUDIENCES[Scope.PUBLIC_API_READ_WRITE]
    host: Annotated[str, Meta(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="port to listen on")] = 8081
    tls_certificate: Annotated[
        Path | None, Meta(description="PEM chain, to speak TLS")
    ] = None
    tls_private_key: Annotated[
        Path | None, Meta(description="PEM key of that certificate")
    ] = None
    drain_delay: Annotated[
        timedelta,
        Meta(
            description="how long after SIGTERM connections are still accepted, while "
            "`/readyz` says no already"
        ),
    ] = timedelta(0)
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="addresses or networks of proxies whose X-Forwarded-For is "
            "believed"
        ),
    ] = ()
    feed_readers: Annotated[
        tuple[FeedReader, ...],
        Meta(
            description="services that may read the log: "
            '`[{"name": …, "secrets": [one or two], "logs": ["registry"], '
            '"whole": false}]`; the token-issuer needs whole rows'
        ),
    ] = ()
    max_age: Annotated[
        timedelta,
        Meta(
            description="how old a view of the registry log may be anywhere before it "
            "decides nothing any more"
        ),
    ] = timedelta(minutes=5)
    oauth_source_types: Annotated[
        tuple[str, ...],
        Meta(
            description="more server types of the catalog (`go`, `ruby`, …) to which "
            "OAuth apps can be connected"
        ),
    ] = ()

    def __post_init__(self) -> None:
        """Raises `ValueError` for what types cannot say."""
        _ = self.listener
        types_with_oauth(self.oauth_source_types)

    @property
    def listener(self) -> Listener:
        """Where the service listens, and how."""
        return Listener(
            host=self.host,
            port=self.port,
            tls_certificate=self.tls_certificate,
            tls_private_key=self.tls_private_key,
            trusted_proxies=parse_networks(self.trusted_proxies),
            drain_delay=self.drain_delay,
        )

    @property
    def token_issuer(self) -> str:
        """The `iss` of access tokens."""
        return self.issuer or self.issuer_url.rstrip("/")
