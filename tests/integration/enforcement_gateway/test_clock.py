"""A gateway whose clock is wrong, and set while it serves."""

import asyncio
import shutil
import struct
import subprocess
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from enforcement_gateway.testing.facts import App, Source
from enforcement_gateway.testing.owners import TOKENS, Owners
from enforcement_gateway.testing.process import GatewayProcess, batch
from tollgate.events.registry import Enforcement
from tollgate.events.tokens import TokenRevoked
from tollgate.oauth.access_tokens import LEEWAY
from tollgate.testing.raw_http import Message
from tollgate.testing.scenario import on
from tollgate.testing.waiting import until

MINUTE, HOUR = 60, 3600
FORWARD, BACKWARD = (MINUTE, HOUR), (-MINUTE, -HOUR)


class WallClock:
    """That of the processes which are started with it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._file.write_bytes(struct.pack("=q", 0))

    def set(self, offset: int) -> None:
        """So many seconds off, from now on."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("=q", offset))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to make the clock with")
    made = tmp_path_factory.mktemp("clock") / "wall_clock.so"
    source = Path(__file__).with_name("wall_clock.c")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", made, source]
    subprocess.run(command, check=True)
    return made


@pytest.fixture
def wall_clock(
    owners: Owners,  # whose database is not to get this clock
    library: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> WallClock:
    del owners
    clock = WallClock(tmp_path / "offset")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("WALL_CLOCK_OFFSET", str(tmp_path / "offset"))
    return clock


class Writer(NamedTuple):
    """An app, and the source that it may write to."""

    owners: Owners
    app: App
    source: Source

    def token(self, **claims: object) -> str:
        return self.owners.token_of(self.app, **claims)


@pytest.fixture
async def writer(owners: Owners) -> Writer:
    app = await owners.add_app()
    return Writer(owners, app, await owners.add_source(Enforcement.ENFORCE, app))


@pytest.fixture
async def gateway(
    wall_clock: WallClock, writer: Writer, process: GatewayProcess
) -> GatewayProcess:
    """One that has that clock, and knows the source."""
    del wall_clock, writer
    await process.start()
    await process.until_ready()
    return process


def code_of(answer: Message) -> str:
    return answer.body.partition(b'"code":"')[2].partition(b'"')[0].decode()


async def test_a_set_clock_is_what_the_gateway_goes_by(
    gateway: GatewayProcess, wall_clock: WallClock, writer: Writer
) -> None:
    """Else the tests here show nothing."""
    for offset in (*FORWARD, *BACKWARD):
        wall_clock.set(offset)
        said = await until_answered(gateway, writer.source, None, 401)
        told = parsedate_to_datetime(said["Date"]).timestamp()
        assert told - time.time() == pytest.approx(offset, abs=MINUTE / 2)


@pytest.mark.parametrize("offset", FORWARD)
async def test_a_token_that_is_over_by_then_is_refused(
    gateway: GatewayProcess,
    wall_clock: WallClock,
    writer: Writer,
    offset: int,
) -> None:
    """Known as it is, and valid for all others."""
    token = writer.token(lifetime=int(offset - LEEWAY - 5))
    assert (await gateway.ask(writer.source.write_key, token)).status == 200
    wall_clock.set(offset)
    refused = await until_answered(gateway, writer.source, token, 401)
    assert code_of(refused) == "token_expired"


@pytest.mark.parametrize("offset", BACKWARD)
async def test_a_token_that_is_not_valid_yet_by_then_is_refused(
    gateway: GatewayProcess,
    wall_clock: WallClock,
    writer: Writer,
    offset: int,
) -> None:
    """A new one of our issuer says nothing of the kind: that one is good."""
    fresh = writer.token()
    token = writer.token(nbf=int(time.time() + LEEWAY - 5))
    assert (await gateway.ask(writer.source.write_key, token)).status == 200
    wall_clock.set(offset)
    refused = await gateway.ask(writer.source.write_key, token)
    assert (refused.status, code_of(refused)) == (401, "token_not_yet_valid")
    assert (await gateway.ask(writer.source.write_key, fresh)).status == 200


async def test_setting_it_under_load_breaks_nothing_off(
    gateway: GatewayProcess,
    wall_clock: WallClock,
    writer: Writer,
) -> None:
    token = writer.token(issued_at=time.time() - 2 * HOUR, jti="jti-1")
    client = await gateway.connect()
    seen = {(200, "")}

    async def keep_asking() -> None:
        """On one connection, which is kept for all that the clock does."""
        while True:
            answer = await client.ask(batch(writer.source.write_key, token))
            seen.add((answer.status, code_of(answer)))

    asking = asyncio.create_task(keep_asking())
    for offset in (MINUTE, 0, -MINUTE, HOUR, -HOUR, HOUR):
        wall_clock.set(offset)
        await until_answered(gateway, writer.source, token, 200)
    assert seen <= {(200, ""), (503, "view_too_old")}
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    revoked = TokenRevoked(jti="jti-1", expires_at=tomorrow)
    await writer.owners.record(TOKENS, on(writer.app.stream, revoked))
    await until(lambda: (401, "token_revoked") in seen)
    assert not asking.done()
    asking.cancel()


async def test_set_forward_without_feeds_it_makes_the_view_too_old(
    gateway: GatewayProcess,
    wall_clock: WallClock,
    writer: Writer,
) -> None:
    """An hour in which the gateway may have heard nothing: it cannot know better."""
    token = writer.token(issued_at=time.time() - HOUR)
    assert (await gateway.ask(writer.source.write_key, token)).status == 200
    await writer.owners.stop()
    wall_clock.set(HOUR)

    async def is_too_old() -> bool:
        answer = await gateway.ask(writer.source.write_key, token)
        return (answer.status, code_of(answer)) == (503, "view_too_old")

    await until(is_too_old)
    wall_clock.set(0)
    assert (await gateway.ask(writer.source.write_key, token)).status == 200


async def until_answered(
    gateway: GatewayProcess, source: Source, token: str | None, status: int
) -> Message:
    """Ask until it is answered so.

    A clock that is set forward by more than a view may be old makes it too old until
    the next poll; but for that, nothing else is answered.
    """

    async def answer() -> Message | None:
        answer = await gateway.ask(source.write_key, token)
        if (answer.status, code_of(answer)) == (503, "view_too_old"):
            return None
        assert answer.status == status
        return answer

    return await until(answer)
