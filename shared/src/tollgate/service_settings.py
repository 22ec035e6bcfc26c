"""What an operator can set of every service, each said once.

Services add their own to `ServiceSettings`, those that own logs to `OwnerSettings`.
"""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from tollgate.http.addresses import Network, parse_networks
from tollgate.http.server import Listener
from tollgate.settings import Secret

Port: TypeAlias = Annotated[int, Meta(ge=1, le=65535, description="port to listen on")]
TrackingApiAudience: TypeAlias = Annotated[
    str, Meta(description="`aud` of tokens for the tracking API")
]
FunctionsAudience: TypeAlias = Annotated[
    str, Meta(description="`aud` of tokens for source functions")
]
PublicApiAudience: TypeAlias = Annotated[
    str, Meta(description="`aud` of tokens for the admin API")
]


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """It takes connections, and it knows the broker."""

    amqp_url: Annotated[Secret, Meta(description="the broker, as this service's user")]
    host: Annotated[str, Meta(description="address to listen on")] = "127.0.0.1"
    port: Port
    tls_certificate: Annotated[
        Path | None, Meta(description="PEM chain, to speak TLS on `port`")
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

    def __post_init__(self) -> None:
        """Raises `ValueError` for what types cannot say."""
        _ = self.listener

    @property
    def proxies(self) -> tuple[Network, ...]:
        return parse_networks(self.trusted_proxies)

    @property
    def listener(self) -> Listener:
        """Where the service listens, and how."""
        return Listener(
            host=self.host,
            port=self.port,
            tls_certificate=self.tls_certificate,
            tls_private_key=self.tls_private_key,
            trusted_proxies=self.proxies,
            drain_delay=self.drain_delay,
        )


class OwnerSettings(ServiceSettings, frozen=True, kw_only=True):
    """It owns logs, in a database of its own."""

    database_url: Annotated[
        Secret, Meta(description="the database, as the role that may append")
    ]
    owner_database_url: Annotated[
        Secret | None,
        Meta(description="the same as its owner; only `migrate` needs it"),
    ] = None
    max_age: Annotated[
        timedelta,
        Meta(
            description="how old a view of its log may be anywhere before it decides "
            "nothing any more"
        ),
    ] = timedelta(minutes=5)
