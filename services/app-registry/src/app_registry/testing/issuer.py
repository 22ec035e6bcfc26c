"""What the app-registry sees of a token-issuer: its feed, its tokens, its answers."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from aiohttp import web
from prometheus_client import CollectorRegistry

from tollgate.clock import SystemClock
from tollgate.events.tokens import SigningKeyActivated, SigningKeyAnnounced
from tollgate.messaging.feed import Feed, FeedReader
from tollgate.messaging.metrics import FeedMetrics
from tollgate.messaging.source import LocalSource
from tollgate.oauth.access_tokens import access_token_claims, mint_access_token
from tollgate.oauth.signing_keys import SigningKey
from tollgate.settings import Secret
from tollgate.testing.keys import signing_key
from tollgate.testing.memory_log import MemoryLog

ISSUER = "https://issuer.example"
AUDIENCE = "urn:tollgate:public-api"
FEED_SECRET = "the registry's feed credential"


class Issuer:
    """Two logs in memory, and a way to mint. `asked` are the revocations passed on.

    A revocation is answered with `answer`.
    """

    def __init__(self) -> None:
        self.tokens = MemoryLog("tokens")
        self.issuance = MemoryLog("issuance")
        self.key = signing_key()
        self.url = ""
        self.asked: list[tuple[str, Mapping[str, str], bytes]] = []
        self.answer = web.Response(status=201)
        self.announce(self.key)

    def announce(self, key: SigningKey) -> None:
        self.tokens.append(
            f"signing_key-{key.kid}",
            SigningKeyAnnounced(alg=key.public.alg, pem=key.public.pem),
            SigningKeyActivated(),
        )

    def mint(
        self,
        app: Mapping[str, Any],
        *,
        signed_by: SigningKey | None = None,
        **changes: Any,  # noqa: ANN401 - any claim
    ) -> str:
        """An access token of the app for the admin API, unless `changes` say so."""
        claims = {
            "issuer": ISSUER,
            "client_id": app["id"],
            "audiences": [AUDIENCE],
            "scopes": ["public_api:read_write"],
            "jti": "jti-1",
            "key": f"{app['keys'][0]['kid']}/2",
            "rev": 0,
            "issued_at": int(SystemClock().now().timestamp()),
            "lifetime": 3600,
        }
        return mint_access_token(
            access_token_claims(**claims | changes), signed_by or self.key
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Answer at `url` meanwhile."""
        reader = FeedReader(
            name="app-registry",
            secrets=(Secret(FEED_SECRET),),
            logs=frozenset({"tokens", "issuance"}),
            whole=True,
        )
        feed = Feed(
            # As a feed reads a source, a log in memory is one.
            [cast("LocalSource", log) for log in (self.tokens, self.issuance)],
            [reader],
            metrics=FeedMetrics(CollectorRegistry()),
        )
        application = web.Application()
        application.add_routes(feed.routes())
        application.router.add_post("/v1/oauth-apps/{app_id}/revocations", self._revoke)
        runner = web.AppRunner(application, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()

    async def _revoke(self, request: web.Request) -> web.Response:
        self.asked.append((request.raw_path, request.headers, await request.read()))
        return self.answer
