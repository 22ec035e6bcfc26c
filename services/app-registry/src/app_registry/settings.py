"""What an operator can set."""

from typing import Annotated

import msgspec
from msgspec import Meta

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
    host: Annotated[str, Meta(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="port to listen on")] = 8081
