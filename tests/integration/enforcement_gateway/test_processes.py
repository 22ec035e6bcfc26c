"""The gateway as it is run: a parent, its workers, and the feeds that they read."""

import asyncio
import contextlib
import os
import resource
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from enforcement_gateway.testing.facts import App, Source
from enforcement_gateway.testing.owners import Owners
from enforcement_gateway.testing.process import GatewayProcess, batch
from tollgate.events.registry import Enforcement
from tollgate.testing.raw_http import RawClient, ScriptedUpstream
from tollgate.testing.waiting import until


@pytest.fixture
async def app(owners: Owners) -> App:
    return await owners.add_app()


@pytest.fixture
async def enforced(owners: Owners, app: App) -> Source:
    """To which the app may write."""
    return await owners.add_source(Enforcement.ENFORCE, app)


@pytest.fixture
async def unenforced(owners: Owners) -> Source:
    return await owners.add_source()


class TestWorkers:
    async def test_share_the_port_and_are_counted_together(
        self,
        process: GatewayProcess,
        owners: Owners,
        app: App,
        enforced: Source,
        unenforced: Source,
    ) -> None:
        await process.start(WORKERS="2")
        await process.until_ready()
        assert len(set(await process.pids())) == 2
        stays = await process.connect()
        assert (await stays.ask(batch(enforced.write_key))).status == 401
        for _ in range(30):
            token = owners.token_of(app)
            assert (await process.ask(enforced.write_key, token)).status == 200
        assert (await process.ask(unenforced.write_key)).status == 200
        assert await process.metric("requests_total") == 32
        assert await process.metric("admitted_total") == 30
        assert await process.metric("open_total") == 1
        assert await process.metric('denied_total{reason="token_missing"}') == 1
        assert await process.metric("demoted_connections_now") == 1
        assert await process.stop() == 0

    async def test_one_that_is_killed_is_started_again_and_still_counted(
        self, process: GatewayProcess, unenforced: Source
    ) -> None:
        await process.start(WORKERS="2")
        await process.until_ready()
        for _ in range(10):
            assert (await process.ask(unenforced.write_key)).status == 200
        assert await process.metric("requests_total") == 10
        killed = (await process.pids())[0]
        os.kill(killed, signal.SIGKILL)

        def is_replaced(_: int, said: Any) -> bool:
            pids = [worker["pid"] for worker in said["workers"]]
            return said["restarts"] == 1 and len(pids) == 2 and killed not in pids

        await process.until("/status", is_replaced)
        await process.until_ready()
        assert (await process.ask(unenforced.write_key)).status == 200
        assert await process.metric("requests_total") == 11
        assert await process.metric("worker_restarts_total") == 1

    async def test_end_with_a_parent_that_was_killed(
        self, process: GatewayProcess
    ) -> None:
        await process.start(WORKERS="2")
        await process.until_ready()
        pids = await process.pids()
        await process.stop(signal.SIGKILL)
        await until(lambda: not any(map(is_running, pids)))


class TestDescriptors:
    async def test_with_few_of_them_existing_connections_are_served(
        self, process: GatewayProcess, unenforced: Source
    ) -> None:
        await process.start()
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (256, 256))
        await process.until_ready()
        request = batch(unenforced.write_key)
        first = await process.connect()
        assert (await first.ask(request)).status == 200
        idle = [await RawClient.connect(process.port) for _ in range(300)]
        refused = [client for client in idle if await is_refused(client)]
        assert len(refused) > 100
        for _ in range(20):
            assert (await first.ask(request)).status == 200
        for client in idle:
            await client.close()

        async def only_first_is_left() -> bool:
            return await process.metric("connections_now") <= 1

        await until(only_first_is_left)
        assert (await process.ask(unenforced.write_key)).status == 200

    async def test_none_is_left_of_thousands_of_connections(
        self, process: GatewayProcess, unenforced: Source
    ) -> None:
        """Closed, reset, left in a request, served; and many requests on one."""
        await process.start()
        await process.until_ready()
        (worker,) = await process.pids()
        request = batch(unenforced.write_key)
        assert (await process.ask(unenforced.write_key)).status == 200

        async def left() -> int:
            """What it has open for clients, whatever is kept of the upstream."""
            upstream = await process.metric("upstream_connections_now")
            return len(descriptors_of(worker)) - int(upstream)

        async def come_and_go(number: int) -> None:
            client = await RawClient.connect(process.port)
            match number % 4:
                case 1:
                    client.writer.transport.abort()
                case 2:
                    await client.send(request[: len(request) // 2])
                case 3:
                    assert (await client.ask(request)).status == 200
            await client.close()

        before = await left()
        for _ in range(100):
            await asyncio.gather(*map(come_and_go, range(40)))
        client = await process.connect()
        await client.send(request * 200)
        for _ in range(200):
            assert (await client.answer()).status == 200
        await client.close()

        async def as_before() -> bool:
            return await left() <= before

        await until(as_before)
        assert await process.metric("connections_total") >= 4000
        assert await process.metric("requests_total") >= 1201


async def is_refused(client: RawClient) -> bool:
    """Whether a connection is told at once that there is no room for it, or ended."""
    try:
        async with asyncio.timeout(0.01):
            line = await client.reader.readline()
            return not line or line.startswith(b"HTTP/1.1 503")
    except TimeoutError:
        return False


class TestView:
    async def test_is_not_ready_and_refuses_before_it_knows_anything(
        self,
        process: GatewayProcess,
        owners: Owners,
        app: App,
        enforced: Source,
        unenforced: Source,
    ) -> None:
        await owners.stop()
        await process.start()
        await process.until("/livez", lambda status, _: status == 200)
        await process.until_workers(lambda workers: workers[0]["listening"])
        assert (await process.get("/readyz"))[0] == 503
        token = owners.token_of(app)
        assert (await process.ask(enforced.write_key, token)).status == 503
        assert (await process.ask(unenforced.write_key)).status == 503
        await owners.start()
        await process.until_ready()
        assert (await process.ask(enforced.write_key, token)).status == 200


class TestStopping:
    async def test_under_load_loses_no_request_that_was_accepted(
        self, process: GatewayProcess, unenforced: Source, upstream: ScriptedUpstream
    ) -> None:
        await process.start()
        await process.until_ready()
        statuses: list[int] = []

        async def keep_asking() -> None:
            """On kept connections, until the port is closed."""
            while True:
                try:
                    client = await RawClient.connect(process.port)
                except ConnectionRefusedError:
                    return
                with contextlib.suppress(ConnectionResetError):
                    answer = None
                    while answer is None or "Connection" not in answer:
                        answer = await client.ask(batch(unenforced.write_key))
                        statuses.append(answer.status)
                await client.close()

        askers = [asyncio.create_task(keep_asking()) for _ in range(8)]
        await until(lambda: len(statuses) >= 200)
        assert await process.stop() == 0
        async with asyncio.timeout(20):
            await asyncio.gather(*askers)
        assert set(statuses) == {200}
        assert len(upstream.requests) == len(statuses)


class TestNoStart:
    """One line that says what to do, and no process left behind."""

    async def line(self, process: GatewayProcess, **changed: str) -> str:
        await process.start(**changed)
        assert await process.ended() != 0
        (line,) = [each for each in process.output if not each.startswith("{")]
        return line

    async def test_for_a_wrong_setting(self, process: GatewayProcess) -> None:
        assert "upstream" in await self.line(process, UPSTREAM_URL="ftp://x")

    @pytest.mark.parametrize("listens", [True, False])
    async def test_for_a_data_port_that_is_taken(
        self, process: GatewayProcess, *, listens: bool
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", process.port))
            if listens:
                taken.listen()
            line = await self.line(process)
        assert f"cannot listen on 127.0.0.1:{process.port}" in line

    async def test_beside_another_gateway_of_the_same_user(
        self, process: GatewayProcess
    ) -> None:
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            other.bind(("127.0.0.1", process.port))
            other.listen()
            assert "cannot listen" in await self.line(process)

    async def test_for_a_status_port_that_is_taken(
        self, process: GatewayProcess
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", process.status_port))
            taken.listen()
            assert "cannot listen" in await self.line(process)


def descriptors_of(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/fd").iterdir())


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] != "Z"
