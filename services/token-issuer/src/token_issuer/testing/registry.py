"""A stand-in for the app-registry: its log and its feed, without its rules."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Protocol

import msgspec
from aiohttp import web

from tollgate.eventlog import AppendGroup, EventLog
from tollgate.events import Event
from tollgate.events.registry import (
    AccessTokenIssued,
    Grant,
    KeyAdded,
    MemberAdded,
    OAuthAppCreated,
)
from tollgate.ids import new_id
from tollgate.messaging.feed import Feed
from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.scopes import Scope
from tollgate.oauth.signing_keys import SigningKey
from tollgate.registry.administrators import new_access_token
from tollgate.settings import Secret
from tollgate.testing.keys import signing_key
from tollgate.testing.owned_logs import MAX_AGE, OnAPort, owned_logs

WORKSPACE = "ws_1"
REGISTRY = "registry"
DAY = 86_400


class RegisteredApp(msgspec.Struct, frozen=True, kw_only=True):
    """An app, and the private key that its owner keeps."""

    id: str
    key: SigningKey


class Reader(Protocol):
    """Whoever can tell how far it has read the registry log."""

    async def until_registry_is_at(self, position: int) -> None: ...


class RegistryStandIn(OnAPort):
    """Its feed can be stopped and started again, as if the service were.

    What is added is waited for in every issuer of `readers`, unless it is told not to.
    """

    secret = Secret("the-issuers-own-credential")

    def __init__(self, log: EventLog, feed: Feed) -> None:
        super().__init__([web.get("/v1/events", self._read)])
        self.log = log
        self._feed = feed
        self.reads = 0
        self.readers: list[Reader] = []

    async def append(self, stream: str, *events: Event) -> int:
        """Record facts on one stream; the position of the last."""
        appended = await self.log.append(
            AppendGroup(events=[(stream, event) for event in events])
        )
        return appended.last or 0

    async def add_app(
        self,
        *,
        key: SigningKey | None = None,
        scopes: tuple[Scope, ...] = (Scope.TRACKING_API_WRITE,),
        token_lifetime: int = DAY,
        wait: bool = True,
    ) -> RegisteredApp:
        """An app as an owner would have created it."""
        app_id = new_id("app")
        key = key or signing_key(Algorithm.RS256)
        position = await self.append(
            f"oauth_app-{app_id}",
            OAuthAppCreated(
                workspace_id=WORKSPACE,
                name=app_id,
                token_lifetime=token_lifetime,
                scopes=scopes,
            ),
            key_added(key),
        )
        if wait:
            await self._until_known(position)
        return RegisteredApp(id=app_id, key=key)

    async def add_member(
        self, *grants: Grant, workspace: str = WORKSPACE, wait: bool = True
    ) -> str:
        """A member with these roles; the access token that they show."""
        member_id, token = new_id("mem"), new_access_token()
        added = MemberAdded(
            workspace_id=workspace, name="Ann", email="ann@example.org", grants=grants
        )
        issued = AccessTokenIssued(
            workspace_id=workspace,
            member_id=member_id,
            name="first",
            secret_hash=token.secret_hash,
        )
        await self.append(f"member-{member_id}", added)
        position = await self.append(f"access_token-{token.id}", issued)
        if wait:
            await self._until_known(position)
        return token.text

    async def _until_known(self, position: int) -> None:
        for reader in self.readers:
            await reader.until_registry_is_at(position)

    async def _read(self, request: web.Request) -> web.Response:
        self.reads += 1
        return await self._feed.read(request)


def key_added(key: SigningKey) -> KeyAdded:
    return KeyAdded(
        kid=key.kid, name="a key", alg=key.public.alg.value, pem=key.public.pem
    )


@asynccontextmanager
async def registry_stand_in(
    database_url: str, *, max_age: timedelta = MAX_AGE
) -> AsyncIterator[RegistryStandIn]:
    """A registry with an empty log in that database, whose owner is named; serving."""
    async with owned_logs(database_url, REGISTRY) as owned:
        feed = owned.feed_for(
            "token-issuer", RegistryStandIn.secret, whole=True, max_age=max_age
        )
        registry = RegistryStandIn(owned.logs[REGISTRY], feed)
        await registry.start()
        try:
            yield registry
        finally:
            owned.notifications.close()
            await registry.stop()
