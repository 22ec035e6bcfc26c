"""What an operator can set."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from enforcement_gateway.upstream.forwarding import UpstreamAuthorization
from enforcement_gateway.upstream.pool import Origin
from tollgate.http.server import Listener
from tollgate.messaging.subscription import REFRESH_DEADLINE
from tollgate.oauth.scopes import DEFAULT_AUDIENCES, Scope
from tollgate.service_settings import (
    FunctionsAudience,
    Port,
    PublicApiAudience,
    ServiceSettings,
    TrackingApiAudience,
)
from tollgate.settings import Secret

PREFIX = "ENFORCEMENT_GATEWAY"

STATUS_PATIENCE = timedelta(seconds=2)
"""For requests to the status port at the end."""

MAX_DRAINING = timedelta(seconds=22)
"""All of the end together is less than half a minute."""


class Settings(ServiceSettings, frozen=True, kw_only=True):
    port: Port = 8083
    issuer: Annotated[
        str, Meta(description="identifier of the issuer whose tokens are accepted")
    ]
    upstream_url: Annotated[str, Meta(description="the tracking API to forward to")]
    registry_url: Annotated[
        str, Meta(description="the app-registry, whose log is read from there")
    ]
    registry_feed_secret: Annotated[
        Secret, Meta(description="the credential for that log")
    ]
    issuer_url: Annotated[
        str, Meta(description="the token-issuer, whose log is read from there")
    ]
    issuer_feed_secret: Annotated[
        Secret, Meta(description="the credential for that log")
    ]
    status_host: Annotated[
        str, Meta(description="address of health, metrics and status")
    ] = "127.0.0.1"
    status_port: Annotated[
        int, Meta(ge=1, le=65535, description="port of health, metrics and status")
    ] = 8084
    workers: Annotated[
        int, Meta(ge=1, le=64, description="processes that share the data port")
    ] = 1
    snapshot_path: Annotated[
        Path | None,
        Meta(
            description="file to keep the view in, to start from while everything else "
            "is down"
        ),
    ] = None
    max_age: Annotated[
        timedelta | None,
        Meta(
            description="how old a view may be that decides; it can only shorten what "
            "the owner of a log allows"
        ),
    ] = None
    confirmation_timeout: Annotated[
        timedelta,
        Meta(
            description="until the logs have confirmed that something unknown to the "
            "view is unknown; then the request is told to come again"
        ),
    ] = REFRESH_DEADLINE
    admit_unknown_write_keys: Annotated[
        bool,
        Meta(
            description="let requests through whose write keys no source has, while a "
            "deployment migrates"
        ),
    ] = False
    upstream_authorization: Annotated[
        UpstreamAuthorization,
        Meta(
            description="what the tracking API gets to see: nothing, the bearer, or "
            "Basic made from the write key"
        ),
    ] = UpstreamAuthorization.NONE
    functions_url: Annotated[
        str | None,
        Meta(description="where source functions are, if not at the tracking API"),
    ] = None
    admin_url: Annotated[
        str | None, Meta(description="where the admin API is; no route without it")
    ] = None
    admin_prefix: Annotated[
        str, Meta(description="path under which the admin API is offered")
    ] = "/admin"
    tracking_api_audience: TrackingApiAudience = DEFAULT_AUDIENCES[
        Scope.TRACKING_API_WRITE
    ]
    functions_audience: FunctionsAudience = DEFAULT_AUDIENCES[Scope.FUNCTIONS_WRITE]
    public_api_audience: PublicApiAudience = DEFAULT_AUDIENCES[
        Scope.PUBLIC_API_READ_WRITE
    ]
    upstream_connections: Annotated[
        int, Meta(ge=1, description="connections to an upstream, per worker")
    ] = 512
    upstream_connect_timeout: Annotated[
        timedelta, Meta(description="until a connection to an upstream is given up")
    ] = timedelta(seconds=3)
    upstream_timeout: Annotated[
        timedelta, Meta(description="until an answer of an upstream is given up")
    ] = timedelta(seconds=30)
    client_connections: Annotated[
        int, Meta(ge=1, description="connections of clients, per worker")
    ] = 10_000
    remembered_tokens: Annotated[
        int, Meta(ge=0, description="verified tokens that a worker remembers")
    ] = 32_768
    interpreted: Annotated[
        bool,
        Meta(
            description="run from the sources although `make build` has compiled the "
            "modules on the way of every request"
        ),
    ] = False
    drain_time: Annotated[
        timedelta, Meta(description="given to requests under way at the end")
    ] = timedelta(seconds=15)

    def __post_init__(self) -> None:
        """Raises `ValueError` for what types cannot say."""
        super().__post_init__()
        for url in (self.upstream_url, self.functions_url, self.admin_url):
            if url is not None:
                Origin.of(url)
        if not self.admin_prefix.startswith("/") or self.admin_prefix.endswith("/"):
            raise ValueError("the admin prefix begins with a slash and ends without")
        if self.drain_delay + self.drain_time > MAX_DRAINING:
            seconds = MAX_DRAINING.total_seconds()
            raise ValueError(
                f"drain_delay and drain_time exceed {seconds:g} s together"
            )
        _ = self.status_listener

    @property
    def audiences(self) -> dict[Scope, str]:
        """The door of each scope (RFC 9068 §3)."""
        return {
            Scope.TRACKING_API_WRITE: self.tracking_api_audience,
            Scope.FUNCTIONS_WRITE: self.functions_audience,
            Scope.PUBLIC_API_READ_WRITE: self.public_api_audience,
        }

    @property
    def status_listener(self) -> Listener:
        return Listener(
            host=self.status_host,
            port=self.status_port,
            drain_delay=self.drain_delay,
            patience=STATUS_PATIENCE,
        )
