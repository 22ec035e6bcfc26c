"""What the launcher tells a service is what the service reads."""

from pathlib import Path

import pytest

import app_registry.settings
import enforcement_gateway.settings
import token_issuer.settings
from local_stack.databases import describe_database
from local_stack.memory import Memory
from local_stack.rabbitmq_definitions import (
    APP_REGISTRY,
    ENFORCEMENT_GATEWAY,
    SERVICES,
    TOKEN_ISSUER,
)
from local_stack.service_settings import environment_of, settle_secrets
from tollgate.settings import Secret, load_settings

PORTS = ("registry", "issuer", "gateway", "gateway_status", "upstream")
DATABASE = describe_database(
    "postgresql://a@127.0.0.1:1/x", "x", owner_password="o", service_password="s"
)


@pytest.fixture
def memory() -> Memory:
    memory = Memory(ports={name: 4000 + n for n, name in enumerate(PORTS)})
    settle_secrets(memory)
    return memory


def environment(service: str, memory: Memory) -> dict[str, str]:
    database = None if service == ENFORCEMENT_GATEWAY else DATABASE
    return environment_of(service, memory, database, "amqp://x", Path("/state"))


def registry_settings(memory: Memory) -> app_registry.settings.Settings:
    module = app_registry.settings
    told = environment(APP_REGISTRY, memory)
    return load_settings(module.Settings, told, module.PREFIX)


def issuer_settings(memory: Memory) -> token_issuer.settings.Settings:
    module = token_issuer.settings
    told = environment(TOKEN_ISSUER, memory)
    return load_settings(module.Settings, told, module.PREFIX)


def gateway_settings(memory: Memory) -> enforcement_gateway.settings.Settings:
    module = enforcement_gateway.settings
    told = environment(ENFORCEMENT_GATEWAY, memory)
    return load_settings(module.Settings, told, module.PREFIX)


def test_all_agree_on_the_issuer(memory: Memory) -> None:
    assert registry_settings(memory).token_issuer == "http://127.0.0.1:4001"
    assert issuer_settings(memory).issuer == "http://127.0.0.1:4001"
    assert gateway_settings(memory).issuer == "http://127.0.0.1:4001"


def test_each_reads_the_logs_it_may_with_its_own_credential(memory: Memory) -> None:
    registry, issuer = registry_settings(memory), issuer_settings(memory)
    gateway = gateway_settings(memory)

    def allowed(
        owner: app_registry.settings.Settings | token_issuer.settings.Settings,
    ) -> dict[str, tuple[tuple[Secret, ...], frozenset[str], bool]]:
        return {
            reader.name: (reader.secrets, reader.logs, reader.whole)
            for reader in owner.feed_readers
        }

    assert allowed(registry) == {
        TOKEN_ISSUER: ((issuer.registry_feed_secret,), {"registry"}, True),
        ENFORCEMENT_GATEWAY: ((gateway.registry_feed_secret,), {"registry"}, False),
    }
    assert allowed(issuer) == {
        APP_REGISTRY: ((registry.issuer_feed_secret,), {"tokens", "issuance"}, True),
        ENFORCEMENT_GATEWAY: ((gateway.issuer_feed_secret,), {"tokens"}, False),
    }
    credentials = {
        reader.secrets[0].reveal()
        for reader in (*registry.feed_readers, *issuer.feed_readers)
    }
    assert len(credentials) == 4


def test_what_services_share_is_settled_before_any_of_them_starts(
    memory: Memory,
) -> None:
    before = dict(memory.secrets)
    for service in SERVICES:
        environment(service, memory)
    assert memory.secrets == before
