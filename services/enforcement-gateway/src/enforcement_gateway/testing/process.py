"""`python -m enforcement_gateway serve`, its workers, and what they say."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from enforcement_gateway.testing.facts import ISSUER
from enforcement_gateway.testing.owners import Owners
from tollgate.testing.raw_http import Message, RawClient
from tollgate.testing.waiting import until

PATIENCE = 25.0
"""Seconds for anything that a gateway should come to by itself."""


class GatewayProcess:
    """One gateway. `output` is what it has logged."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._clients: list[RawClient] = []
        self.output: list[str] = []

    @property
    def port(self) -> int:
        return int(self._environment["ENFORCEMENT_GATEWAY_PORT"])

    @property
    def status_port(self) -> int:
        return int(self._environment["ENFORCEMENT_GATEWAY_STATUS_PORT"])

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    # --- the processes ---

    async def start(self, **changed: str) -> None:
        """Start it; `changed` settings, by their names without the prefix."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "enforcement_gateway", "serve"),
            env={
                **self._environment,
                **{f"ENFORCEMENT_GATEWAY_{name}": to for name, to in changed.items()},
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._reading = asyncio.create_task(self._read(self._process))

    async def stop(self, signum: int = signal.SIGTERM) -> int:
        """Tell it to stop, and wait for its end; what it ended with."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signum)
        return await self.ended()

    async def ended(self) -> int:
        assert self._process is not None
        assert self._reading is not None
        async with asyncio.timeout(PATIENCE):
            code = await self._process.wait()
            await self._reading  # until its workers have ended as well
        return code

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.output.append(line.decode())

    # --- what it says ---

    async def get(self, path: str) -> tuple[int, Any]:
        """From the status port: status, and text or JSON; 0 while nobody answers."""
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self.status_port}{path}") as answer,
            ):
                if answer.content_type == "application/json":
                    return answer.status, await answer.json()
                return answer.status, await answer.text()
        except aiohttp.ClientError:
            return 0, ""

    async def until(self, path: str, condition: Callable[[int, Any], bool]) -> Any:  # noqa: ANN401 - JSON
        """Ask until the answer is as wanted, and return it."""
        last: tuple[int, Any] = (0, "")

        async def as_wanted() -> bool:
            nonlocal last
            last = await self.get(path)
            return condition(*last)

        try:
            await until(as_wanted, within=PATIENCE)
        except TimeoutError:
            raise AssertionError((path, *last, self.output[-20:])) from None
        return last[1]

    async def until_ready(self) -> None:
        await self.until("/readyz", lambda status, _: status == 200)  # noqa: PLR2004

    async def until_workers(self, condition: Callable[[list[Any]], bool]) -> list[Any]:
        """Until the reports of all workers are as wanted."""
        status = await self.until(
            "/status",
            lambda _, said: (
                bool(said)
                and len(said["workers"]) == said["expected_workers"]
                and condition(said["workers"])
            ),
        )
        workers: list[Any] = status["workers"]
        return workers

    async def until_pushed(self) -> None:
        """Until the broker delivers both logs to every worker."""
        await self.until_logs(lambda log: bool(log["pushed"]))

    async def until_at(self, log: str, position: int) -> None:
        """Until every worker has applied the log up to `position`."""
        await self.until_logs(
            lambda each: each["log"] != log or each["position"] >= position
        )

    async def until_logs(self, condition: Callable[[Any], bool]) -> None:
        await self.until_workers(
            lambda workers: all(
                condition(log) for each in workers for log in each["view"]["logs"]
            )
        )

    async def pids(self) -> list[int]:
        _, status = await self.get("/status")
        return [each["pid"] for each in status["workers"]]

    async def metric(self, sample: str) -> float:
        """One line of /metrics, by its name with its labels; 0 if there is none."""
        _, text = await self.get("/metrics")
        for line in text.splitlines():
            name, _, value = line.rpartition(" ")
            if name == f"tollgate_gateway_{sample}":
                return float(value)
        return 0.0

    # --- what clients do ---

    async def connect(self) -> RawClient:
        """A client that is closed with the gateway."""
        client = await RawClient.connect(self.port)
        self._clients.append(client)
        return client

    async def until_closed(self) -> None:
        """Until the data port takes no more connections."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    client = await RawClient.connect(self.port)
                except (ConnectionRefusedError, ConnectionResetError):
                    return
                await client.close()

    async def close_clients(self) -> None:
        for client in self._clients:
            await client.close()

    async def ask(self, write_key: str, token: str | None = None) -> Message:
        """The answer to one batch, on a connection of its own."""
        try:
            client = await RawClient.connect(self.port)
        except ConnectionRefusedError:
            raise AssertionError((self.port, self.runs, self.output[-20:])) from None
        try:
            return await client.ask(batch(write_key, token))
        finally:
            await client.close()


def batch(write_key: str, token: str | None = None) -> bytes:
    """A request as an SDK sends it."""
    body = b'{"batch": [{"type": "track"}], "writeKey": "%b"}' % write_key.encode()
    bearer = f"Authorization: Bearer {token}\r\n" if token is not None else ""
    return (
        b"POST /v1/batch HTTP/1.1\r\nHost: gateway.test\r\n"
        b"Content-Type: application/json\r\n"
        + bearer.encode()
        + b"Content-Length: %d\r\n\r\n" % len(body)
        + body
    )


@asynccontextmanager
async def gateway_process(
    owners: Owners,
    upstream_url: str,
    ports: tuple[int, int],
    amqp_url: str = "amqp://nobody:x@127.0.0.1:1/",
    **settings: str,
) -> AsyncIterator[GatewayProcess]:
    """A gateway that is not started yet, and gone afterwards."""
    all_settings = {
        "ISSUER": ISSUER,
        "UPSTREAM_URL": upstream_url,
        "REGISTRY_URL": owners.url,
        "ISSUER_URL": owners.url,
        "REGISTRY_FEED_SECRET": owners.secret.reveal(),
        "ISSUER_FEED_SECRET": owners.secret.reveal(),
        "AMQP_URL": amqp_url,
        "PORT": str(ports[0]),
        "STATUS_PORT": str(ports[1]),
        **settings,
    }
    environment = {
        name: text for name, text in os.environ.items() if "TOLLGATE" not in name
    } | {f"ENFORCEMENT_GATEWAY_{name}": text for name, text in all_settings.items()}
    gateway = GatewayProcess(environment)
    try:
        yield gateway
    finally:
        await gateway.close_clients()
        if gateway.runs:
            await gateway.stop()
