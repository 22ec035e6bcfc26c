"""A snapshot is believed whole or not at all, and is as old as the poll it recorded."""

import asyncio
import hashlib
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tollgate.background import running
from tollgate.events.registry import OAuthAppCreated, OAuthAppRenamed
from tollgate.events.tokens import AllTokensRevoked
from tollgate.messaging.metrics import SubscriptionMetrics
from tollgate.messaging.subscription import Subscription
from tollgate.projections.moments import Moment
from tollgate.projections.snapshot import (
    FORMAT,
    FUTURE_TOLERANCE,
    SLICE,
    LogSnapshot,
    SnapshotFile,
    SnapshotRefused,
    decode_snapshot,
    encode_in_slices,
    encode_snapshot,
)
from tollgate.projections.view import View
from tollgate.registry.state import RegistryState
from tollgate.testing.memory_log import MemoryLog
from tollgate.tokens.state import TokensState

NOW = Moment(5_000.0, 1_800_000_000.0)
CREATED = OAuthAppCreated(
    workspace_id="ws_1", name="web", token_lifetime=86_400, scopes=()
)

RENAMED = OAuthAppRenamed(name="mobile")


def snapshot(seconds_ago: float = 0.0, *, booted_ago: float | None = None) -> bytes:
    elapsed = seconds_ago if booted_ago is None else booted_ago
    return encode_snapshot(
        [
            LogSnapshot(
                "registry",
                7,
                b"\1" * 32,
                Moment(NOW.boottime - elapsed, NOW.wall - seconds_ago),
                300.0,
                b"state with \n in it",
            ),
            LogSnapshot("tokens", 0, b"\2" * 32, NOW, 60.0, b""),
        ],
        boot_id="boot-1",
    )


def read(encoded: bytes, boot_id: str | None = "boot-1") -> dict[str, LogSnapshot]:
    return decode_snapshot(encoded, now=NOW, boot_id=boot_id)


class TestFormat:
    def test_what_was_written_is_read(self) -> None:
        found = read(snapshot(10))
        assert found["registry"] == LogSnapshot(
            "registry",
            7,
            b"\1" * 32,
            Moment(4_990.0, NOW.wall - 10),
            300.0,
            b"state with \n in it",
        )
        assert found["tokens"].state == b""

    @pytest.mark.parametrize("cut", [0, 1, 30, 90, 200, -1])
    def test_a_torn_file_is_refused(self, cut: int) -> None:
        with pytest.raises(SnapshotRefused):
            read(snapshot()[:cut])

    def test_a_flipped_bit_anywhere_is_refused(self) -> None:
        whole = snapshot()
        for place in range(len(whole)):
            damaged = bytearray(whole)
            damaged[place] ^= 0x10
            with pytest.raises(SnapshotRefused):
                read(bytes(damaged))

    def test_another_format_is_refused(self) -> None:
        with pytest.raises(SnapshotRefused, match="format"):
            read(snapshot().replace(FORMAT, b"tollgate-snapshot 2"))

    @pytest.mark.parametrize(
        "content",
        [
            b"{}\n",
            b"[]\n",
            b"\xff\n",
            b'{"boot_id":null,"logs":[]}\nmore',
            (
                b'{"boot_id":null,"logs":[{"log":"r","position":1,"hash":"zz",'
                b'"boottime":1,"wall":1,"max_age":1,"bytes":0}]}\n'
            ),
        ],
    )
    def test_a_sound_checksum_makes_no_sense_of_rubbish(self, content: bytes) -> None:
        checksum = hashlib.sha256(content).hexdigest().encode()
        with pytest.raises(SnapshotRefused):
            read(FORMAT + b" " + checksum + b"\n" + content)


class TestSlices:
    @pytest.mark.parametrize("count", [0, 1, SLICE - 1, SLICE, SLICE + 1, 3 * SLICE])
    def test_a_state_encoded_in_slices_is_the_state(self, count: int) -> None:
        log = MemoryLog()
        for number in range(count):
            log.append(f"oauth_app-app_{number}", CREATED)
        state = RegistryState()
        for recorded in log.events:
            state.apply(recorded)
        copied = encode_in_slices(state.contents())
        assert RegistryState.load(copied).dump() == state.dump()

    def test_what_is_copied_does_not_change_any_more(self) -> None:
        log = MemoryLog()
        first, second = log.append("oauth_app-app_1", CREATED, RENAMED)
        state = RegistryState()
        state.apply(first)
        contents = state.contents()
        before = encode_in_slices(contents)
        state.apply(second)
        assert encode_in_slices(contents) == before


class TestAge:
    def test_in_the_same_boot_both_clocks_count(self) -> None:
        found = read(snapshot(10, booted_ago=250))["registry"]
        assert found.polled_at.until(NOW) == 250

    @pytest.mark.parametrize("boot_id", ["boot-2", None])
    def test_after_another_boot_the_wall_clock_alone_tells(
        self, boot_id: str | None
    ) -> None:
        found = read(snapshot(250, booted_ago=1), boot_id)["registry"]
        assert found.polled_at.until(NOW) == 250
        later = Moment(NOW.boottime + 20, NOW.wall + 20)
        assert found.polled_at.until(later) == 270

    @pytest.mark.parametrize("boot_id", ["boot-1", "boot-2"])
    def test_one_from_the_future_is_refused(self, boot_id: str) -> None:
        ahead = -FUTURE_TOLERANCE - 1
        with pytest.raises(SnapshotRefused, match="future"):
            read(snapshot(ahead, booted_ago=10), boot_id)

    def test_one_from_later_in_this_boot_is_refused(self) -> None:
        with pytest.raises(SnapshotRefused, match="future"):
            read(snapshot(10, booted_ago=-1))

    def test_a_clock_set_back_a_little_gives_no_negative_age(self) -> None:
        found = read(snapshot(-1, booted_ago=1), "boot-2")["registry"]
        assert found.polled_at.until(NOW) == 0


class TestFile:
    def subscriptions(
        self, registry: MemoryLog, tokens: MemoryLog
    ) -> tuple[Subscription[RegistryState], Subscription[TokensState]]:
        metrics = SubscriptionMetrics(CollectorRegistry())
        often = timedelta(milliseconds=10)
        return (
            Subscription(registry, RegistryState, metrics=metrics, poll_interval=often),
            Subscription(tokens, TokensState, metrics=metrics, poll_interval=often),
        )

    async def test_a_process_starts_from_what_the_last_one_knew(
        self, tmp_path: Path
    ) -> None:
        registry, tokens = MemoryLog(), MemoryLog("tokens")
        registry.append("oauth_app-app_1", CREATED)
        tokens.append("oauth_app-app_1", AllTokensRevoked())
        path = tmp_path / "view.snapshot"
        first = self.subscriptions(registry, tokens)
        async with running(*(each.run() for each in first)):
            await until(lambda: all(each.ready for each in first))
            assert await SnapshotFile(path, first).save()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert names_in(tmp_path) == ["view.snapshot"]

        registry.down = tokens.down = True
        second = self.subscriptions(registry, tokens)
        assert await SnapshotFile(path, second).restore()
        view = View(*second)
        assert view.ready
        assert view.fresh()
        assert second[0].state.dump() == first[0].state.dump()
        assert second[1].state.version_of("app_1") == 1
        assert second[1].hash == tokens.head.hash
        assert second[0].polled_at == first[0].polled_at

    async def test_nothing_is_written_before_every_log_was_polled(
        self, tmp_path: Path
    ) -> None:
        registry, tokens = MemoryLog(), MemoryLog("tokens")
        tokens.down = True
        both = self.subscriptions(registry, tokens)
        async with running(*(each.run() for each in both)):
            await until(lambda: both[0].ready)
            assert not await SnapshotFile(tmp_path / "s", both).save()
        assert names_in(tmp_path) == []

    async def test_without_a_file_there_is_nothing_to_refuse(
        self, tmp_path: Path
    ) -> None:
        both = self.subscriptions(MemoryLog(), MemoryLog("tokens"))
        assert not await SnapshotFile(tmp_path / "s", both).restore()

    @pytest.mark.parametrize("mode", [0o640, 0o602, 0o666])
    async def test_a_file_open_to_others_is_refused(
        self, tmp_path: Path, mode: int
    ) -> None:
        registry, tokens = MemoryLog(), MemoryLog("tokens")
        path = tmp_path / "s"
        both = self.subscriptions(registry, tokens)
        async with running(*(each.run() for each in both)):
            await until(lambda: all(each.ready for each in both))
            await SnapshotFile(path, both).save()
        fresh = self.subscriptions(registry, tokens)
        path.chmod(mode)
        assert not await SnapshotFile(path, fresh).restore()
        assert fresh[0].polled_at is None
        path.chmod(0o600)
        assert await SnapshotFile(path, fresh).restore()

    async def test_one_state_that_cannot_be_read_refuses_all(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "s"
        now = Moment.now()
        path.touch(mode=0o600)
        path.write_bytes(
            encode_snapshot(
                [
                    LogSnapshot(
                        "registry", 0, b"\0" * 32, now, 9.0, RegistryState().dump()
                    ),
                    LogSnapshot("tokens", 0, b"\0" * 32, now, 9.0, b"{}"),
                ],
                boot_id=None,
            )
        )
        both = self.subscriptions(MemoryLog(), MemoryLog("tokens"))
        assert not await SnapshotFile(path, both).restore()
        assert both[0].polled_at is None

    async def test_it_is_written_again_and_again_and_when_the_process_ends(
        self, tmp_path: Path
    ) -> None:
        registry, tokens = MemoryLog(), MemoryLog("tokens")
        path = tmp_path / "s"
        both = self.subscriptions(registry, tokens)
        file = SnapshotFile(path, both)
        async with running(
            *(each.run() for each in both), file.run(timedelta(milliseconds=5))
        ):
            await until(path.exists)
            registry.append("oauth_app-app_1", CREATED)
            await until(lambda: both[0].position == 1)
        fresh = self.subscriptions(registry, tokens)
        assert await SnapshotFile(path, fresh).restore()
        assert fresh[0].position == 1
        assert fresh[0].state.apps["app_1"].name == "web"

    async def test_a_disk_that_is_full_stops_nothing(self, tmp_path: Path) -> None:
        registry, tokens = MemoryLog(), MemoryLog("tokens")
        both = self.subscriptions(registry, tokens)
        gone = tmp_path / "gone"
        file = SnapshotFile(gone / "s", both)
        async with running(
            *(each.run() for each in both), file.run(timedelta(milliseconds=1))
        ):
            await until(lambda: both[0].ready and both[1].ready)
            with pytest.raises(FileNotFoundError):
                await file.save()
            gone.mkdir()
            await until((gone / "s").exists)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


def names_in(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]
