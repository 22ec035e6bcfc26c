"""Which addresses the data port is: those of its host's name that the machine has."""

import socket
from typing import Any

import pytest
from msgspec.structs import replace

from enforcement_gateway.data_port import bind
from enforcement_gateway.settings import Settings
from tollgate.http.server import CannotListen

LOOPBACK = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))
OURS_NOT = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))
"""RFC 5737: no machine has it."""


@pytest.fixture
def settings() -> Settings:
    names = (
        *("issuer", "upstream_url", "registry_url", "issuer_url"),
        *("registry_feed_secret", "issuer_feed_secret", "amqp_url"),
    )
    made = Settings(**dict.fromkeys(names, "http://127.0.0.1:1"))  # type: ignore[arg-type]
    return replace(made, host="gateway.test", port=0)


def resolve_to(monkeypatch: pytest.MonkeyPatch, *found: Any) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: list(found))


def bound_to(settings: Settings) -> list[str]:
    sockets = bind(settings, shared=True)
    addresses = [each.getsockname()[0] for each in sockets]
    for each in sockets:
        each.close()
    return addresses


def test_one_that_a_name_leads_to_twice_is_bound_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, LOOPBACK, LOOPBACK)
    assert bound_to(settings) == ["127.0.0.1"]


def test_one_that_the_machine_has_not_is_left_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, OURS_NOT, LOOPBACK)
    assert bound_to(settings) == ["127.0.0.1"]


def test_none_that_the_machine_has_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, OURS_NOT)
    with pytest.raises(CannotListen, match=r"^cannot listen on gateway\.test:0: "):
        bind(settings, shared=True)


def test_one_that_is_taken_is_told_though_another_is_free(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = (*LOOPBACK[:4], taken.getsockname())
        resolve_to(monkeypatch, LOOPBACK, busy)
        with pytest.raises(CannotListen, match="in use"):
            bind(settings, shared=False)
