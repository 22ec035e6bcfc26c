"""What a person may choose for `make run`, in environment variables."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from local_stack.failures import CannotStart
from tollgate.settings import Secret, WrongSettings, load_settings

PREFIX = "TOLLGATE"
_OF_THE_TESTS = "TOLLGATE_TEST_"

Port = Annotated[int, Meta(ge=1, le=65535)]


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing needs to be chosen. A port that is not is a free one."""

    database_url: Annotated[
        Secret | None,
        Meta(
            description="a Postgres that runs, as a role that may create databases "
            "and roles; without it, one is started"
        ),
    ] = None
    amqp_url: Annotated[
        Secret | None,
        Meta(
            description="a RabbitMQ that runs, as a user that may do anything in an "
            "empty virtual host; without it, one is started"
        ),
    ] = None
    registry_port: Annotated[
        Port | None, Meta(description="port of the app-registry")
    ] = None
    issuer_port: Annotated[
        Port | None, Meta(description="port of the token-issuer")
    ] = None
    gateway_port: Annotated[
        Port | None, Meta(description="port where the gateway takes events")
    ] = None
    gateway_status_port: Annotated[
        Port | None, Meta(description="port of the gateway's health and metrics")
    ] = None
    upstream_port: Annotated[
        Port | None, Meta(description="port of the stand-in tracking API")
    ] = None
    postgres_port: Annotated[
        Port | None, Meta(description="port of the Postgres that is started")
    ] = None
    amqp_port: Annotated[
        Port | None, Meta(description="port of the RabbitMQ that is started")
    ] = None


def read_choices(environ: Mapping[str, str]) -> Choices:
    """What `environ` chooses, or `CannotStart` if it cannot be used."""
    ours = {
        name: value
        for name, value in environ.items()
        if not name.startswith(_OF_THE_TESTS)
    }
    try:
        return load_settings(Choices, ours, PREFIX)
    except WrongSettings as error:
        raise CannotStart(str(error)) from None
