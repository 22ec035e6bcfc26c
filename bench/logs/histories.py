"""Histories of a registry and of revocations, as long as one likes.

They are made of the events that the services write, in an order that could have come
about, with a fixed seed: every run folds the same.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tollgate.events import Event
from tollgate.events.registry import (
    Enforcement,
    EnforcementChanged,
    KeyAdded,
    OAuthAppConnected,
    OAuthAppCreated,
    SourceConnected,
    SourceCreated,
    SourceRenamed,
    WriteKeyAdded,
    WriteKeyClaimed,
)
from tollgate.events.tokens import AllTokensRevoked, KeyTokensRevoked, TokenRevoked
from tollgate.registry.streams import app_stream, source_stream, write_key_stream

SOURCES_OF_AN_APP = 8
APPS_WITH_REVOCATIONS = 20_000
TOKEN_LIFETIME = timedelta(days=15)
BETWEEN_EVENTS = timedelta(seconds=10)
STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC)
_PEM = (
    "-----BEGIN PUBLIC KEY-----\n" + 6 * f"{'A' * 64}\n" + "-----END PUBLIC KEY-----\n"
)

Fact = tuple[str, Event]


def moment_of(position: int) -> datetime:
    """When the event at `position` of a log was recorded."""
    return STARTED_AT + position * BETWEEN_EVENTS


def registry_facts() -> Iterator[Fact]:
    """Apps with a key and connected sources: 54 events for each app, ten types."""
    number = 0
    while True:
        app_id = f"app_{number:022d}"
        yield app_stream(app_id), _app_created(number)
        yield app_stream(app_id), _key_added(number)
        for _ in range(SOURCES_OF_AN_APP):
            yield from _source_facts(number, app_id)
            number += 1


def _source_facts(number: int, app_id: str) -> Iterator[Fact]:
    source_id, write_key = f"src_{number:022d}", f"{number:032d}"
    stream = source_stream(source_id)
    yield (
        stream,
        SourceCreated(
            workspace_id="ws_0123456789012345678901",
            name=f"Checkout of shop {number}",
            source_type="python",
        ),
    )
    yield stream, WriteKeyAdded(write_key=write_key)
    yield write_key_stream(write_key), WriteKeyClaimed(source_id=source_id)
    yield stream, OAuthAppConnected(app_id=app_id)
    yield app_stream(app_id), SourceConnected(source_id=source_id)
    yield stream, EnforcementChanged(mode=Enforcement.ENFORCE)
    if number % 2:
        yield stream, SourceRenamed(name=f"Checkout {number}")


def _app_created(number: int) -> OAuthAppCreated:
    return OAuthAppCreated(
        workspace_id="ws_0123456789012345678901",
        name=f"Collector {number}",
        token_lifetime=86_400,
        scopes=("tracking_api:write",),
    )


def _key_added(number: int) -> KeyAdded:
    return KeyAdded(kid=f"{number:043d}", name="first", alg="RS256", pem=_PEM)


def revocation_facts() -> Iterator[Fact]:
    """Revocations, nearly all of them of single tokens: 130,000 live at any time."""
    rng = random.Random(1)  # noqa: S311 - a history, not a secret
    number = 0
    while True:
        app_id = f"app_{rng.randrange(APPS_WITH_REVOCATIONS):022d}"
        yield app_stream(app_id), _revocation(number)
        number += 1


def _revocation(number: int) -> Event:
    match number % 50:
        case 0:
            return AllTokensRevoked()
        case 1:
            return KeyTokensRevoked(kid=f"{number % 7:043d}")
        case _:
            return TokenRevoked(
                jti=f"{number:022d}",
                expires_at=moment_of(number) + TOKEN_LIFETIME,
            )
