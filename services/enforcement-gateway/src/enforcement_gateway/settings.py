"""What an operator can set."""

from typing import Annotated

import msgspec
from msgspec import Meta

from tollgate.settings import Secret

PREFIX = "ENFORCEMENT_GATEWAY"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    amqp_url: Annotated[Secret, Meta(description="the broker, as this service's user")]
    host: Annotated[str, Meta(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="port to listen on")] = 8083
    status_port: Annotated[
        int, Meta(ge=1, le=65535, description="port of health, metrics and status")
    ] = 8084
