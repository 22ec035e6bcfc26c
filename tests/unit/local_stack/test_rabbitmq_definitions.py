"""Whose name may touch which name on the broker."""

import re

import pytest

from local_stack.rabbitmq_definitions import OPERATOR, SERVICES, definitions

GIVEN = definitions(["/"], dict.fromkeys((OPERATOR, *SERVICES), "secret"))
PERMISSIONS = {given.user: given for given in GIVEN.permissions}


def may(service: str, action: str, name: str) -> bool:
    return re.search(getattr(PERMISSIONS[service], action), name) is not None


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("action", ["configure", "write", "read"])
def test_a_queue_belongs_to_the_service_it_is_named_for(
    service: str, action: str
) -> None:
    for other in SERVICES:
        assert may(service, action, f"tollgate.{other}.a1b2") == (other == service)


@pytest.mark.parametrize("action", ["configure", "write"])
def test_an_exchange_is_written_by_one_service(action: str) -> None:
    writers = {
        log: [service for service in SERVICES if may(service, action, log)]
        for log in ("tollgate.registry", "tollgate.tokens")
    }
    assert writers == {
        "tollgate.registry": ["app-registry"],
        "tollgate.tokens": ["token-issuer"],
    }


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("action", ["configure", "write", "read"])
@pytest.mark.parametrize(
    "name",
    ["amq.default", "amq.topic", "", "tollgateXregistry", "x.tollgate.registry.y"],
)
def test_nothing_else_is_anybodys(service: str, action: str, name: str) -> None:
    assert not may(service, action, name)


def test_no_password_is_in_the_file() -> None:
    assert b"secret" not in GIVEN.encode()
