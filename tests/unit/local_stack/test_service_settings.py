"""What the launcher tells a service is what the service reads."""

import app_registry.settings
from local_stack.databases import describe_database
from local_stack.memory import Memory
from local_stack.rabbitmq_definitions import (
    APP_REGISTRY,
    ENFORCEMENT_GATEWAY,
    TOKEN_ISSUER,
)
from local_stack.service_settings import environment_of, feed_secret, settle_secrets
from tollgate.settings import Secret, load_settings

PORTS = ("registry", "issuer", "gateway", "gateway_status", "upstream")


def memory_with_ports() -> Memory:
    return Memory(ports={name: 4000 + n for n, name in enumerate(PORTS)})


def test_the_registry_starts_with_it() -> None:
    memory = memory_with_ports()
    database = describe_database(
        "postgresql://a@127.0.0.1:1/x",
        "app_registry",
        owner_password="o",
        service_password="s",
    )
    settings = load_settings(
        app_registry.settings.Settings,
        environment_of(APP_REGISTRY, memory, database, "amqp://x"),
        app_registry.settings.PREFIX,
    )
    assert settings.token_issuer == "http://127.0.0.1:4001"
    readers = {reader.name: reader for reader in settings.feed_readers}
    assert readers[TOKEN_ISSUER].whole
    assert not readers[ENFORCEMENT_GATEWAY].whole
    assert readers[TOKEN_ISSUER].logs == {"registry"}
    assert readers[ENFORCEMENT_GATEWAY].secrets == (
        Secret(feed_secret(memory, ENFORCEMENT_GATEWAY, APP_REGISTRY)),
    )


def test_what_services_share_is_settled_before_any_of_them_starts() -> None:
    memory = memory_with_ports()
    settle_secrets(memory)
    before = dict(memory.secrets)
    environment_of(APP_REGISTRY, memory, None, "amqp://x")
    assert memory.secrets == before
