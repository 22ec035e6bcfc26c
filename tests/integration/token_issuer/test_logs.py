"""How the issuer's logs leave it: the feed to whom may read, and the broker."""

import asyncio
from collections.abc import AsyncIterator

import aio_pika
import aiohttp
import msgspec
import pytest

from local_stack.testing import VirtualHost
from token_issuer.settings import Settings
from token_issuer.testing.issuer import IssuerUnderTest, serving
from token_issuer.testing.registry import RegisteredApp
from tollgate.eventlog import EventLog
from tollgate.eventlog.chain import Chain
from tollgate.messaging.feed import HEAD, MAX_AGE, FeedReader
from tollgate.messaging.messages import decode_lines
from tollgate.settings import Secret

GATEWAY = "the-gateways-own-credential"
REGISTRY = "the-registrys-own-credential"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(
        settings,
        feed_readers=(
            FeedReader(
                name="enforcement-gateway",
                secrets=(Secret(GATEWAY),),
                logs=frozenset({"tokens"}),
            ),
            FeedReader(
                name="app-registry",
                secrets=(Secret(REGISTRY),),
                logs=frozenset({"tokens", "issuance"}),
                whole=True,
            ),
        ),
    )


def as_reader(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


class TestFeed:
    async def test_a_gateway_reads_the_tokens_log_without_metadata(
        self, issuer: IssuerUnderTest, app: RegisteredApp, tokens_log: EventLog
    ) -> None:
        token = await issuer.token_of(app)
        await issuer.revoke(app, token)

        answer = await issuer.get("/v1/events?log=tokens", headers=as_reader(GATEWAY))

        events = decode_lines(answer.body)
        head = await tokens_log.head()
        assert [each.type for each in events] == [
            "signing_key.announced",
            "signing_key.activated",
            "signing_key.announced",
            "oauth_app.token_revoked",
        ]
        assert all(each.metadata is None for each in events)
        assert answer.headers[HEAD] == str(head.position)
        assert float(answer.headers[MAX_AGE]) == 300
        chain = Chain("tokens")
        chain.verify(events)
        chain.verify_head(head.position, head.hash)

    async def test_and_not_the_issuance_log(self, issuer: IssuerUnderTest) -> None:
        answer = await issuer.get("/v1/events?log=issuance", headers=as_reader(GATEWAY))

        assert answer.status == 403

    async def test_the_registry_reads_both_whole_for_the_audit(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        await issuer.token_of(app)

        answer = await issuer.get(
            "/v1/events?log=issuance", headers=as_reader(REGISTRY)
        )

        (issued,) = decode_lines(answer.body)
        assert issued.type == "oauth_app.token_issued"
        assert issued.metadata is not None
        assert msgspec.json.decode(issued.metadata)["actor"] == f"oauth_app-{app.id}"

    async def test_nobody_else_reads_anything(self, issuer: IssuerUnderTest) -> None:
        for headers in ({}, as_reader("wrong"), as_reader("")):
            answer = await issuer.get("/v1/events?log=tokens", headers=headers)
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"]

    async def test_a_waiting_reader_does_not_hold_up_the_end(
        self, settings: Settings, tokens_log: EventLog
    ) -> None:
        async with aiohttp.ClientSession(headers=as_reader(GATEWAY)) as session:
            async with serving(settings) as issuer:
                after = (await tokens_log.head()).position
                url = f"{issuer.url}/v1/events?log=tokens&after={after}&wait=30"
                waiting = asyncio.create_task(session.get(url))
                await issuer.get("/livez")
            async with asyncio.timeout(5):
                assert (await waiting).status == 200


class TestBroker:
    @pytest.fixture
    def settings(self, settings: Settings, virtual_host: VirtualHost) -> Settings:
        return msgspec.structs.replace(
            settings, amqp_url=Secret(virtual_host.url_of("token-issuer"))
        )

    @pytest.fixture
    async def told(
        self, virtual_host: VirtualHost
    ) -> AsyncIterator["asyncio.Queue[str]"]:
        """The types of the events that the broker tells of the issuer's logs."""
        told: asyncio.Queue[str] = asyncio.Queue()
        connection = await aio_pika.connect(virtual_host.url_of("enforcement-gateway"))
        async with connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(
                "tollgate.enforcement-gateway.test", exclusive=True, auto_delete=True
            )
            await queue.bind("tollgate.tokens", "#")

            async def keep(message: aio_pika.abc.AbstractIncomingMessage) -> None:
                for event in decode_lines(message.body):
                    await told.put(event.type)

            await queue.consume(keep, no_ack=True)
            yield told

    async def test_revocations_are_pushed_and_issuance_is_not(
        self,
        settings: Settings,
        app: RegisteredApp,
        told: "asyncio.Queue[str]",
    ) -> None:
        async with serving(settings) as issuer:
            token = await issuer.token_of(app)
            await issuer.revoke(app, token)

            async with asyncio.timeout(15):
                types = [await told.get() for _ in range(4)]

        assert types == [
            "signing_key.announced",
            "signing_key.activated",
            "signing_key.announced",
            "oauth_app.token_revoked",
        ]
        assert told.empty()
