"""The service as its clients see it, served on a port of its own."""

import base64
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from token_issuer.application import create_application
from token_issuer.settings import Settings
from token_issuer.testing.registry import RegisteredApp, RegistryStandIn
from tollgate.clock import Clock
from tollgate.http.front import FrontRunner
from tollgate.oauth.client_assertion import CLIENT_ASSERTION_TYPE
from tollgate.settings import Secret
from tollgate.testing.tokens import client_assertion
from tollgate.testing.waiting import until

_JSON = {"application/json", "application/problem+json"}

ISSUER = "https://issuer.example"
"""What it is called, wherever it listens."""


def settings_for(
    database_url: str, registry: RegistryStandIn, key_encryption_key: bytes
) -> Settings:
    """An issuer between a database and a registry; nothing listens at its broker."""
    return Settings(
        issuer=ISSUER,
        database_url=Secret(database_url),
        amqp_url=Secret("amqp://nobody@127.0.0.1:1/"),
        registry_url=registry.url,
        registry_feed_secret=registry.secret,
        key_encryption_keys=(Secret(base64.b64encode(key_encryption_key).decode()),),
    )


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """`json` is None where the body is not JSON."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any


class IssuerUnderTest:
    """Sends what clients send. `name` is the issuer identifier, `url` where it is."""

    def __init__(self, name: str, url: str, session: aiohttp.ClientSession) -> None:
        self.name = name
        self.url = url
        self._session = session

    async def request(self, method: str, path: str, **options: Any) -> Answer:  # noqa: ANN401 - as aiohttp takes them
        async with self._session.request(
            method, f"{self.url}{path}", allow_redirects=False, **options
        ) as response:
            body = await response.read()
            return Answer(
                status=response.status,
                headers=response.headers,
                body=body,
                json=msgspec.json.decode(body)
                if response.content_type in _JSON
                else None,
            )

    async def get(self, path: str, **options: Any) -> Answer:  # noqa: ANN401
        return await self.request("GET", path, **options)

    async def post_form(
        self,
        path: str,
        form: Mapping[str, str],
        **options: Any,  # noqa: ANN401
    ) -> Answer:
        return await self.request("POST", path, data=dict(form), **options)

    def assertion(self, app: RegisteredApp, **claims: object) -> str:
        """A fresh client assertion of the app, with some claims of its own."""
        return client_assertion(
            app.key,
            client_id=app.id,
            issuer=self.name,
            **{"now": time.time(), **claims},  # type: ignore[arg-type]
        )

    def credentials(self, app: RegisteredApp, **claims: object) -> dict[str, str]:
        """The form fields by which the app proves who it is."""
        return {
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": self.assertion(app, **claims),
        }

    def token_form(self, app: RegisteredApp, **claims: object) -> dict[str, str]:
        return {
            "grant_type": "client_credentials",
            **self.credentials(app, **claims),
        }

    async def ask_for_token(
        self, app: RegisteredApp, fields: Mapping[str, str] | None = None
    ) -> Answer:
        """A good token request of the app, with more or other `fields`."""
        return await self.post_form(
            "/token", {**self.token_form(app), **(fields or {})}
        )

    async def token_of(self, app: RegisteredApp, **fields: str) -> str:
        """An access token of the app."""
        answer = await self.ask_for_token(app, fields)
        if answer.status != 200:  # noqa: PLR2004
            raise AssertionError(answer)
        return str(answer.json["access_token"])

    async def revoke(self, app: RegisteredApp, token: str) -> Answer:
        return await self.post_form(
            "/revoke", {**self.credentials(app), "token": token}
        )

    async def revoke_as(
        self,
        bearer: str,
        app: RegisteredApp,
        body: object,
        **headers: str,
    ) -> Answer:
        """An administrator's command for the app."""
        return await self.request(
            "POST",
            f"/v1/oauth-apps/{app.id}/revocations",
            data=msgspec.json.encode(body),
            headers={
                "Authorization": f"Bearer {bearer}",
                "Content-Type": "application/json",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )

    async def introspect(self, app: RegisteredApp, token: str) -> Answer:
        return await self.post_form(
            "/introspect", {**self.credentials(app), "token": token}
        )

    async def until_registry_is_at(self, position: int) -> None:
        """Wait until it has applied the registry log up to `position`."""
        await self._until_log_is_at("registry", position)

    async def until_tokens_log_is_at(self, position: int) -> None:
        await self._until_log_is_at("tokens", position)

    async def _until_log_is_at(self, name: str, position: int) -> None:
        async def reached() -> bool:
            return any(
                log["log"] == name and log["position"] >= position
                for log in await self._logs()
            )

        await until(reached)

    async def until_logs_are_known(self) -> None:
        """Wait until it knows both logs, whatever else it may lack."""

        async def known() -> bool:
            return all(log["ready"] for log in await self._logs())

        await until(known)

    async def _logs(self) -> list[Any]:
        logs: list[Any] = (await self.get("/status")).json["view"]["logs"]
        return logs

    async def until_ready(self, *, ready: bool = True) -> Answer:
        """Wait until it says that it is, or is not."""

        async def as_wanted() -> Answer | None:
            answer = await self.get("/readyz")
            return answer if (answer.status == 200) is ready else None  # noqa: PLR2004

        return await until(as_wanted)


@asynccontextmanager
async def serving(
    settings: Settings,
    *,
    port: int = 0,
    clock: Clock | None = None,
    ready: bool = True,
    with_front: bool = True,
) -> AsyncIterator[IssuerUnderTest]:
    """One process' worth of the service, until the block ends; 0 is any port."""
    runner = (FrontRunner if with_front else web.AppRunner)(
        create_application(settings, clock=clock), shutdown_timeout=1.0
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            issuer = IssuerUnderTest(settings.issuer, url, session)
            if ready:
                await issuer.until_ready()
            yield issuer
    finally:
        await runner.cleanup()
