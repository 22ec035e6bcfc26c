"""The gateway as it is run: a parent, its workers, and the feeds that they read."""

import asyncio
import contextlib
import json
import os
import re
import resource
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tollgate.events.registry import (
    Enforcement,
    EnforcementChanged,
    KeyAdded,
    OAuthAppConnected,
    OAuthAppCreated,
    SourceConnected,
    SourceCreated,
    WriteKeyAdded,
)
from tollgate.events.tokens import (
    SigningKeyActivated,
    SigningKeyAnnounced,
)
from tollgate.messaging.feed import HEAD, HEAD_HASH, MAX_AGE
from tollgate.messaging.messages import encode_lines
from tollgate.messaging.source import LogDiverged
from tollgate.oauth.access_tokens import access_token_claims, mint_access_token
from tollgate.oauth.scopes import Scope, audiences_of
from tollgate.testing.keys import signing_key
from tollgate.testing.memory_log import MemoryLog
from tollgate.testing.raw_http import RawClient, ScriptedUpstream

ISSUER = "https://issuer.test"
PATIENCE = 20.0


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


@dataclass
class Owners:
    """The owners of both logs, behind one port."""

    registry: MemoryLog
    tokens: MemoryLog
    port: int = 0
    runner: web.AppRunner | None = None

    async def start(self) -> None:
        application = web.Application()
        application.add_routes([web.get("/v1/events", self.read)])
        self.runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self.runner.setup()
        self.port = self.port or free_port()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
            self.runner = None

    async def read(self, request: web.Request) -> web.Response:
        log = {"registry": self.registry, "tokens": self.tokens}[request.query["log"]]
        last = request.query.get("after_hash")
        try:
            page = await log.read_after(
                int(request.query["after"]),
                None if last is None else bytes.fromhex(last),
                limit=int(request.query["limit"]),
                wait=timedelta(seconds=float(request.query["wait"])),
            )
        except LogDiverged:
            return web.Response(status=409)
        return web.Response(
            body=encode_lines(page.events),
            content_type="application/x-ndjson",
            headers={
                HEAD: str(page.head.position),
                HEAD_HASH: page.head.hash.hex(),
                MAX_AGE: f"{page.max_age.total_seconds():.3f}",
            },
        )

    def tell(self) -> None:
        """An app, connected to a source that enforces; a source that does not."""
        registry, key = self.registry, signing_key(nth=0)
        registry.append(
            "oauth_app-app_one",
            OAuthAppCreated(
                workspace_id="ws_one",
                name="one",
                token_lifetime=86400,
                scopes=(Scope.TRACKING_API_WRITE,),
            ),
            KeyAdded(kid="client-key", name="first", alg="RS256", pem="PEM"),
            SourceConnected(source_id="src_one"),
        )
        registry.append(
            "source-src_one",
            SourceCreated(workspace_id="ws_one", name="one", source_type="http-api"),
            WriteKeyAdded(write_key="enforced-key"),
            OAuthAppConnected(app_id="app_one"),
            EnforcementChanged(mode=Enforcement.ENFORCE),
        )
        registry.append(
            "source-src_two",
            SourceCreated(workspace_id="ws_one", name="two", source_type="http-api"),
            WriteKeyAdded(write_key="open-key"),
        )
        self.tokens.append(
            f"signing_key-{key.kid}",
            SigningKeyAnnounced(alg=key.public.alg.value, pem=key.public.pem),
            SigningKeyActivated(),
        )


@dataclass
class Running:
    """A gateway of several processes."""

    owners: Owners
    upstream: ScriptedUpstream
    environment: dict[str, str]
    port: int
    status_port: int
    process: asyncio.subprocess.Process | None = None
    output: list[str] = field(default_factory=list)
    descriptors: int | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "enforcement_gateway", "serve"),
            env=self.environment,
            preexec_fn=self._limit_descriptors,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._reading = asyncio.create_task(self._read_output())

    def _limit_descriptors(self) -> None:
        if self.descriptors is not None:
            limit = (self.descriptors, self.descriptors)
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)

    async def _read_output(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.output.append(line.decode())

    async def stop(self, signum: int = signal.SIGTERM) -> int:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signum)
        async with asyncio.timeout(PATIENCE):
            code = await self.process.wait()
            await self._reading
        return code

    async def get(self, path: str) -> tuple[int, str]:
        """What the status port says; 0 while there is none."""
        url = f"http://127.0.0.1:{self.status_port}{path}"
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientError:
            return 0, ""

    async def until(self, path: str, condition: Callable[[int, str], bool]) -> str:
        """Ask until the answer is as wanted."""
        async with asyncio.timeout(PATIENCE):
            while True:
                status, text = await self.get(path)
                if condition(status, text):
                    return text
                await asyncio.sleep(0.05)

    async def until_ready(self) -> None:
        await self.until("/readyz", lambda status, _: status == 200)

    async def until_closed(self) -> None:
        """Connect until nobody accepts any more, and keep no connection."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    client = await RawClient.connect(self.port)
                except ConnectionRefusedError:
                    return
                await client.close()
                await asyncio.sleep(0.05)

    async def pids(self) -> list[int]:
        _, text = await self.get("/status")
        return [int(pid) for pid in re.findall(r'"pid":(\d+)', text)]

    async def metric(self, name: str) -> float:
        _, text = await self.get("/metrics")
        return sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith(
                (f"tollgate_gateway_{name} ", f"tollgate_gateway_{name}{{")
            )
        )

    async def ask(self, write_key: str, token: str | None = None) -> int:
        """The status for one batch, on a connection of its own."""
        client = await RawClient.connect(self.port)
        answer = await client.ask(request(write_key, token))
        await client.close()
        return answer.status


def request(write_key: str, token: str | None = None) -> bytes:
    body = b'{"writeKey":"%b","batch":[{}]}' % write_key.encode()
    bearer = f"Authorization: Bearer {token}\r\n".encode() if token else b""
    return b"POST /v1/batch HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b" % (
        bearer,
        len(body),
        body,
    )


def token(jti: str = "jti-1") -> str:
    claims = access_token_claims(
        issuer=ISSUER,
        client_id="app_one",
        audiences=audiences_of((Scope.TRACKING_API_WRITE,)),
        scopes=(Scope.TRACKING_API_WRITE,),
        jti=jti,
        key="client-key/2",
        rev=0,
        issued_at=int(time.time()),
        lifetime=86400,
    )
    return mint_access_token(claims, signing_key(nth=0))


@pytest.fixture
async def owners() -> AsyncIterator[Owners]:
    owners = Owners(MemoryLog("registry"), MemoryLog("tokens"))
    owners.tell()
    await owners.start()
    yield owners
    await owners.stop()


@pytest.fixture
async def running(
    owners: Owners, upstream: ScriptedUpstream, tmp_path: Path
) -> AsyncIterator[Running]:
    """One worker, not started yet; `environment` may be changed before."""
    port, status_port = free_port(), free_port()
    feed = f"http://127.0.0.1:{owners.port}"
    settings = {
        "ISSUER": ISSUER,
        "UPSTREAM_URL": f"http://127.0.0.1:{upstream.port}",
        "REGISTRY_URL": feed,
        "ISSUER_URL": feed,
        "REGISTRY_FEED_SECRET": "secret-of-sixteen",
        "ISSUER_FEED_SECRET": "secret-of-sixteen",
        # The broker is down: everything here holds by polling alone.
        "AMQP_URL": f"amqp://guest:guest@127.0.0.1:{free_port()}/",
        "PORT": str(port),
        "STATUS_PORT": str(status_port),
        "WORKERS": "1",
        "SNAPSHOT_PATH": str(tmp_path / "snapshot"),
        "DRAIN_TIME": "10s",
    }
    environment = {
        **{name: text for name, text in os.environ.items() if "TOLLGATE" not in name},
        **{f"ENFORCEMENT_GATEWAY_{name}": text for name, text in settings.items()},
    }
    gateway = Running(owners, upstream, environment, port, status_port)
    yield gateway
    if gateway.process is not None and gateway.process.returncode is None:
        await gateway.stop()


@pytest.fixture
def pair(running: Running) -> Running:
    """The same with two workers."""
    running.environment["ENFORCEMENT_GATEWAY_WORKERS"] = "2"
    return running


class TestWorkers:
    async def test_share_the_port_and_are_counted_together(self, pair):
        await pair.start()
        await pair.until_ready()
        assert len(set(await pair.pids())) == 2
        assert await pair.ask("enforced-key") == 401
        for _ in range(30):
            assert await pair.ask("enforced-key", token()) == 200
        assert await pair.ask("open-key") == 200
        assert await pair.metric("requests_total") == 32
        assert await pair.metric("admitted_total") == 30
        assert await pair.metric("open_total") == 1
        assert await pair.metric("denied_total") == 1
        assert await pair.stop() == 0

    async def test_one_that_is_killed_is_started_again_and_still_counted(self, pair):
        await pair.start()
        await pair.until_ready()
        for _ in range(10):
            assert await pair.ask("open-key") == 200
        assert await pair.metric("requests_total") == 10
        killed = (await pair.pids())[0]
        os.kill(killed, signal.SIGKILL)

        def is_replaced(_: int, text: str) -> bool:
            # Its number alone could stand in any hash of the status.
            said = json.loads(text)
            pids = [worker["pid"] for worker in said["workers"]]
            return said["restarts"] == 1 and len(pids) == 2 and killed not in pids

        await pair.until("/status", is_replaced)
        await pair.until_ready()
        assert await pair.ask("open-key") == 200
        assert await pair.metric("requests_total") == 11
        assert await pair.metric("worker_restarts_total") == 1

    async def test_end_with_a_parent_that_was_killed(self, pair):
        await pair.start()
        await pair.until_ready()
        pids = await pair.pids()
        await pair.stop(signal.SIGKILL)
        async with asyncio.timeout(PATIENCE):
            while any(map(is_running, pids)):
                await asyncio.sleep(0.05)


class TestDescriptors:
    async def test_with_few_of_them_existing_connections_are_served(self, running):
        running.descriptors = 256
        await running.start()
        await running.until_ready()
        first = await RawClient.connect(running.port)
        assert (await first.ask(request("open-key"))).status == 200
        idle = [await RawClient.connect(running.port) for _ in range(300)]
        refused = [client for client in idle if await is_refused(client)]
        assert len(refused) > 100
        for _ in range(20):
            assert (await first.ask(request("open-key"))).status == 200
        for client in idle:
            await client.close()
        async with asyncio.timeout(PATIENCE):
            while await running.metric("connections_now") > 1:
                await asyncio.sleep(0.05)
        assert await running.ask("open-key") == 200
        await first.close()


async def is_refused(client: RawClient) -> bool:
    """Whether a connection is told at once that there is no room for it."""
    try:
        async with asyncio.timeout(0.01):
            return (await client.reader.readline()).startswith(b"HTTP/1.1 503")
    except TimeoutError:
        return False


class TestView:
    async def test_is_not_ready_and_refuses_before_it_knows_anything(self, running):
        await running.owners.stop()
        await running.start()
        await running.until("/livez", lambda status, _: status == 200)
        await running.until(
            "/status", lambda _, text: text.count('"listening":true') == 1
        )
        assert (await running.get("/readyz"))[0] == 503
        assert await running.ask("enforced-key", token()) == 503
        assert await running.ask("open-key") == 503
        await running.owners.start()
        await running.until_ready()
        assert await running.ask("enforced-key", token()) == 200


class TestStopping:
    async def test_under_load_loses_no_request_that_was_accepted(self, running):
        await running.start()
        await running.until_ready()
        statuses: list[int] = []

        async def keep_asking() -> None:
            """On kept connections, until the port is closed."""
            while True:
                try:
                    client = await RawClient.connect(running.port)
                except ConnectionRefusedError:
                    return
                with contextlib.suppress(ConnectionResetError):
                    answer = None
                    while answer is None or "Connection" not in answer:
                        answer = await client.ask(request("open-key"))
                        statuses.append(answer.status)
                await client.close()

        async with asyncio.timeout(PATIENCE):
            askers = [asyncio.create_task(keep_asking()) for _ in range(8)]
            while len(statuses) < 200:
                await asyncio.sleep(0.01)
            assert await running.stop() == 0
            await asyncio.gather(*askers)
        assert set(statuses) == {200}
        assert len(running.upstream.requests) == len(statuses)


class TestNoStart:
    """One line that says what to do, and no process left behind."""

    async def line(self, running: Running) -> str:
        await running.start()
        assert running.process is not None
        async with asyncio.timeout(PATIENCE):
            assert await running.process.wait() != 0
            await running._reading
        (line,) = [each for each in running.output if not each.startswith("{")]
        return line

    async def test_for_a_wrong_setting(self, running):
        running.environment["ENFORCEMENT_GATEWAY_UPSTREAM_URL"] = "ftp://x"
        assert "upstream" in await self.line(running)

    @pytest.mark.parametrize("listens", [True, False])
    async def test_for_a_data_port_that_is_taken(self, running, listens):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", running.port))
            if listens:
                taken.listen()
            assert f"cannot listen on 127.0.0.1:{running.port}" in await self.line(
                running
            )

    async def test_beside_another_gateway_of_the_same_user(self, running):
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            other.bind(("127.0.0.1", running.port))
            other.listen()
            assert "cannot listen" in await self.line(running)

    async def test_for_a_status_port_that_is_taken(self, running):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", running.status_port))
            taken.listen()
            assert "cannot listen" in await self.line(running)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] != "Z"
