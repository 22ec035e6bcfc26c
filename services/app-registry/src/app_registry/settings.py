"""What an operator can set."""

from typing import Annotated

from msgspec import Meta

from tollgate.messaging.feed import FeedReader
from tollgate.oauth.scopes import DEFAULT_AUDIENCES, Scope
from tollgate.registry.source_types import types_with_oauth
from tollgate.service_settings import OwnerSettings, Port, PublicApiAudience
from tollgate.settings import Secret

PREFIX = "APP_REGISTRY"


class Settings(OwnerSettings, frozen=True, kw_only=True):
    port: Port = 8081
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
    public_api_audience: PublicApiAudience = DEFAULT_AUDIENCES[
        Scope.PUBLIC_API_READ_WRITE
    ]
    feed_readers: Annotated[
        tuple[FeedReader, ...],
        Meta(
            description="services that may read the log: "
            '`[{"name": …, "secrets": [one or two], "logs": ["registry"], '
            '"whole": false}]`; the token-issuer needs whole rows'
        ),
    ] = ()
    oauth_source_types: Annotated[
        tuple[str, ...],
        Meta(
            description="more server types of the catalog (`go`, `ruby`, …) to which "
            "OAuth apps can be connected"
        ),
    ] = ()

    def __post_init__(self) -> None:
        """Raises `ValueError` for what types cannot say."""
        super().__post_init__()
        types_with_oauth(self.oauth_source_types)

    @property
    def token_issuer(self) -> str:
        """The `iss` of access tokens."""
        return self.issuer or self.issuer_url.rstrip("/")
