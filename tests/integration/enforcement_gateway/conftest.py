"""A gateway on a real socket, in front of an upstream that is scripted to the byte."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from enforcement_gateway.counters import Counters
from enforcement_gateway.gate import Gate
from enforcement_gateway.http.listening import serve
from enforcement_gateway.http.routes import Door
from enforcement_gateway.http.server import Behind, Limits, Server
from enforcement_gateway.sockets.loop import Loop
from enforcement_gateway.testing.owners import Owners, owners_of
from enforcement_gateway.testing.process import GatewayProcess, gateway_process
from enforcement_gateway.upstream.forwarding import UpstreamAuthorization
from enforcement_gateway.upstream.pool import Origin, Pool
from enforcement_gateway.verification import Verifier
from enforcement_gateway.view import View
from local_stack.databases import Database
from local_stack.ports import free_ports
from tollgate.events.registry import Enforcement
from tollgate.events.tokens import TokenRevoked
from tollgate.messaging.subscription import NotLevel
from tollgate.oauth.access_tokens import access_token_claims, mint_access_token
from tollgate.oauth.scopes import DEFAULT_AUDIENCES, Scope, audiences_of
from tollgate.registry.oauth_app import AppKey, OAuthApp
from tollgate.registry.source import Source
from tollgate.registry.state import RegistryState, WriteKey
from tollgate.testing.keys import signing_key
from tollgate.testing.raw_http import Message, RawClient, ScriptedUpstream
from tollgate.tokens.state import SigningKey, SigningKeyStatus, TokensState

ISSUER = "https://issuer.test"
APP = "app_one"
KID = "client-key"


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], Any]]:
    """The loop that the gateway runs on; whoever is heard is let in."""
    return {"worker": lambda: Loop(count().__next__)}


class StaticView(View):
    """A view that is as fresh as a test says."""

    def __init__(self) -> None:
        self.registry = RegistryState()
        self.tokens = TokensState()
        self.is_fresh = True
        self.refreshes = 0
        self.on_refresh: Callable[[], None] | None = None

    def look(self) -> None:
        """What a test put there is what it says."""

    def fresh_at(self, boottime: float, wall: float) -> bool:
        del boottime, wall
        return self.is_fresh

    async def refresh(self) -> None:
        """`on_refresh` is what the logs turn out to hold; without it, they are down."""
        self.refreshes += 1
        await asyncio.sleep(0)
        if self.on_refresh is None:
            raise NotLevel("down")
        self.on_refresh()

    async def refresh_tokens(self) -> None:
        await self.refresh()


class World:
    """What the logs say: an app, a signing key, and sources as they are needed."""

    def __init__(self) -> None:
        self.view = StaticView()
        self.add_signing_key()
        self.app = self.add_app(APP)
        self.add_source("src_enforced", "enforced-key", Enforcement.ENFORCE, APP)
        self.add_source("src_reporting", "reporting-key", Enforcement.REPORT, APP)
        self.add_source("src_open", "open-key", Enforcement.OFF, None)

    def add_signing_key(self, nth: int = 0) -> None:
        key = signing_key(nth=nth)
        self.view.tokens.signing_keys[key.kid] = SigningKey(
            kid=key.kid,
            alg=key.public.alg.value,
            pem=key.public.pem,
            version=2,
            announced_at=datetime(2026, 1, 1, tzinfo=UTC),
            status=SigningKeyStatus.ACTIVE,
        )

    def compromise_signing_key(self) -> None:
        kid = signing_key(nth=0).kid
        self.view.tokens.signing_keys[kid] = replace(
            self.view.tokens.signing_keys[kid], status=SigningKeyStatus.COMPROMISED
        )

    def add_app(self, client_id: str) -> OAuthApp:
        app = OAuthApp(
            id=client_id,
            version=2,
            workspace_id="ws_one",
            name="one",
            token_lifetime=86400,
            scopes=frozenset(Scope),
            keys={
                KID: AppKey(kid=KID, name="first", alg="RS256", pem="PEM", version=2)
            },
            honoured=(f"{KID}/2",),
        )
        self.view.registry.keep_app(app)
        return app

    def change_app(self, **changes: Any) -> None:
        registry = self.view.registry
        registry.keep_app(replace(registry.apps[APP], **changes))

    def add_source(
        self,
        source_id: str,
        write_key: str,
        enforcement: Enforcement,
        app_id: str | None,
    ) -> None:
        source = Source(
            id=source_id,
            version=3,
            workspace_id="ws_one",
            name=source_id,
            source_type="http-api",
            write_keys=(write_key,),
            app_id=app_id,
            enforcement=enforcement,
        )
        self.view.registry.keep_source(source)

    def revoke(self, jti: str) -> None:
        expiry = datetime(2100, 1, 1, tzinfo=UTC)
        revoked = TokenRevoked(jti=jti, expires_at=expiry)
        self.view.tokens.revoked.add([(APP, revoked)])

    def delete_key(self, write_key: str) -> None:
        known = self.view.registry.write_keys[write_key]
        dead = WriteKey(source=known.source, live=False)
        self.view.registry.write_keys[write_key] = dead
        if known.guard is not None:
            known.guard.end_lead()  # as the fold does

    def token(
        self,
        *,
        client_id: str = APP,
        scopes: tuple[str, ...] = (Scope.TRACKING_API_WRITE,),
        age: int = 0,
        lifetime: int = 86400,
        key: str = f"{KID}/2",
        jti: str = "jti-1",
        rev: int = 0,
        issuer: str = ISSUER,
        audiences: tuple[str, ...] | None = None,
        signed_with: int = 0,
    ) -> str:
        claims = access_token_claims(
            issuer=issuer,
            client_id=client_id,
            audiences=audiences_of(scopes) if audiences is None else audiences,
            scopes=scopes,
            jti=jti,
            key=key,
            rev=rev,
            issued_at=int(time.time()) - age,
            lifetime=lifetime,
        )
        return mint_access_token(claims, signing_key(nth=signed_with))


@dataclass
class Gateway:
    """A data port, and how to send it things."""

    server: Server
    listener: asyncio.Server
    upstream: ScriptedUpstream
    world: World
    clients: list[RawClient] = field(default_factory=list)

    @property
    def port(self) -> int:
        port: int = self.listener.sockets[0].getsockname()[1]
        return port

    @property
    def counters(self) -> Counters:
        return self.server.counters

    async def client(self, **options: object) -> RawClient:
        client = await RawClient.connect(self.port, **options)
        self.clients.append(client)
        return client

    @staticmethod
    def batch(write_key: str | None = "enforced-key", *events: Any) -> dict[str, Any]:
        """A body as SDKs write it, with one event if none is given."""
        body: dict[str, Any] = {"batch": list(events) or [{"type": "track"}]}
        return body if write_key is None else body | {"writeKey": write_key}

    async def ask(self, *args: Any, **kwargs: Any) -> Message:
        """Send one `request` on a connection of its own."""
        client = await self.client()
        return await client.ask(self.request(*args, **kwargs))

    async def at_rest(self, number: Callable[[], int]) -> int:
        """The number, once it stays while others are served.

        All of it runs on one loop: what can move at all does so in their turns.
        """
        before = -1
        other = await RawClient.connect(self.port)
        async with asyncio.timeout(20):
            while number() != before:
                before = number()
                for _ in range(20):
                    assert (await other.ask(self.request(self.batch()))).status == 401
        await other.close()
        return before

    def request(
        self,
        body: Any = None,
        *,
        path: str = "/v1/batch",
        method: str = "POST",
        token: str | None = None,
        **fields: str,
    ) -> bytes:
        """A request as an SDK would write it. `_` in a field's name becomes `-`."""
        lines = [f"{method} {path} HTTP/1.1", "Host: gateway.test"]
        payload = b""
        if body is not None:
            payload = body if isinstance(body, bytes) else json.dumps(body).encode()
            lines.append(f"Content-Length: {len(payload)}")
            if "Content_Type" not in fields:
                lines.append("Content-Type: application/json")
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        lines += [f"{name.replace('_', '-')}: {text}" for name, text in fields.items()]
        return "\r\n".join((*lines, "", "")).encode() + payload


MakeGateway = Callable[..., Awaitable[Gateway]]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    upstream = ScriptedUpstream()
    await upstream.start()
    yield upstream
    await upstream.stop()


@pytest.fixture
async def make_gateway(
    world: World, upstream: ScriptedUpstream
) -> AsyncIterator[MakeGateway]:
    """`await make_gateway(...)` with the limits and upstream settings of a test."""
    started: list[Gateway] = []

    async def make(
        *,
        limits: Limits | None = None,
        authorization: UpstreamAuthorization = UpstreamAuthorization.NONE,
        upstream_url: str | None = None,
        max_connections: int = 64,
        answer_timeout: float = 10.0,
        connect_timeout: float = 2.0,
        admit_unknown: bool = False,
        trusted_proxies: tuple[Any, ...] = (),
        tls: Any = None,
        listener_tls: Any = None,
    ) -> Gateway:
        counters = Counters()
        pool = Pool(
            Origin.of(upstream_url or f"http://127.0.0.1:{upstream.port}"),
            counters,
            max_connections=max_connections,
            connect_timeout=connect_timeout,
            answer_timeout=answer_timeout,
            tls=tls,
        )
        behind = Behind(pool, authorization)
        server = Server(
            Gate(
                world.view,
                Verifier(ISSUER),
                counters,
                audiences=DEFAULT_AUDIENCES,
                admit_unknown=admit_unknown,
            ),
            counters,
            {
                Door.TRACKING: behind,
                Door.PIXEL: behind,
                Door.FUNCTION: behind,
                Door.ADMIN: Behind(pool, UpstreamAuthorization.BEARER, b"/admin"),
            },
            limits=limits or Limits(sweep_seconds=0.05),
            admin_prefix=b"/admin",
            trusted_proxies=trusted_proxies,
        )
        listener = serve(server, [socket.create_server(("127.0.0.1", 0))], listener_tls)
        gateway = Gateway(server, listener, upstream, world)
        started.append(gateway)
        return gateway

    yield make
    for gateway in started:
        gateway.listener.close()
        for client in gateway.clients:
            await client.close()
        await gateway.server.drain(timedelta(seconds=1))


@pytest.fixture
async def gateway(make_gateway: MakeGateway) -> Gateway:
    return await make_gateway()


@pytest.fixture
async def owners(database: Database) -> AsyncIterator[Owners]:
    """Nothing is relayed: what the gateway knows, it has polled."""
    async with owners_of(database.owner_url) as owners:
        yield owners


@pytest.fixture
async def process(
    owners: Owners, upstream: ScriptedUpstream, tmp_path: Path
) -> AsyncIterator[GatewayProcess]:
    """The gateway as it is run, with one worker, not started yet."""
    async with gateway_process(
        owners,
        f"http://127.0.0.1:{upstream.port}",
        tuple(free_ports(2)),
        SNAPSHOT_PATH=str(tmp_path / "snapshot"),
        DRAIN_TIME="15s",
    ) as process:
        yield process


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Certificate and key for `localhost`, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return folder / "certificate.pem", folder / "key.pem"
