"""A snapshot is believed whole or not at all, and is as old as the poll it recorded."""

import asyncio
import hashlib
import stat
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from tollgate.background import running
from tollgate.events.registry import OAuthAppCreated, OAuthAppRenamed
from tollgate.events.tokens import AllTokensRevoked
from tollgate.messaging.metrics import SubscriptionMetrics
from tollgate.messaging.subscription import Subscription
from tollgate.projections.moments import Moment
from tollgate.projections.snapshot import (
    FORMAT,
    FUTURE_TOLERANCE,
    LogSnapshot,
    SnapshotFile,
    SnapshotRefused,
    decode_index,
    encode_index,
)
from tollgate.projections.state_files import StateFile, write_state
from tollgate.projections.view import View
from tollgate.registry.state import RegistryState
from tollgate.testing.memory_log import MemoryLog
from tollgate.testing.waiting import until
from tollgate.tokens.state import TokensState

NOW = Moment(5_000.0, 1_800_000_000.0)
CREATED = OAuthAppCreated(
    workspace_id="ws_1", name="web", token_lifetime=86_400, scopes=()
)

RENAMED = OAuthAppRenamed(name="mobile")


STATE = StateFile(name="view.registry.01", bytes=17, sha256="ab" * 32)


def snapshot(seconds_ago: float = 0.0, *, booted_ago: float | None = None) -> bytes:
    elapsed = seconds_ago if booted_ago is None else booted_ago
    return encode_index(
        [
            LogSnapshot(
                "registry",
                7,
                b"\1" * 32,
                Moment(NOW.boottime - elapsed, NOW.wall - seconds_ago),
                300.0,
                "shape",
                STATE,
            ),
            LogSnapshot("tokens", 0, b"\2" * 32, NOW, 60.0, "", STATE),
        ],
        boot_id="boot-1",
    )


def read(encoded: bytes, boot_id: str | None = "boot-1") -> dict[str, LogSnapshot]:
    return decode_index(encoded, now=NOW, boot_id=boot_id)


class TestIndex:
    def test_what_was_written_is_read(self) -> None:
        found = read(snapshot(10))
        assert found["registry"] == LogSnapshot(
            "registry",
            7,
            b"\1" * 32,
            Moment(4_990.0, NOW.wall - 10),
            300.0,
            "shape",
            STATE,
        )
        assert found["tokens"].position == 0

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
            read(snapshot().replace(FORMAT, b"tollgate-snapshot 1"))

    @pytest.mark.parametrize(
        "content",
        [
            b"{}\n",
            b"[]\n",
            b"\xff\n",
            b'{"boot_id":null,"logs":[]}\nmore',
            (
                b'{"boot_id":null,"logs":[{"log":"r","position":1,"hash":"zz",'
                b'"boottime":1,"wall":1,"max_age":1,"shape":"","state":'
                b'{"name":"r","bytes":0,"sha256":""}}]}\n'
            ),
        ],
    )
    def test_a_sound_checksum_makes_no_sense_of_rubbish(self, content: bytes) -> None:
        checksum = hashlib.sha256(content).hexdigest().encode()
        with pytest.raises(SnapshotRefused):
            read(FORMAT + b" " + checksum + b"\n" + content)


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
            polled_at = first[0].polled_at  # polling goes on while it is written
            assert await SnapshotFile(path, first).save()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        hashes = registry.head.hash.hex()[:16], tokens.head.hash.hex()[:16]
        assert names_in(tmp_path) == [
            "view.snapshot",
            f"view.snapshot.registry.{hashes[0]}",
            f"view.snapshot.tokens.{hashes[1]}",
        ]

        registry.down = tokens.down = True
        second = self.subscriptions(registry, tokens)
        assert await SnapshotFile(path, second).restore()
        view = View(*second)
        assert view.ready
        assert view.fresh()
        assert second[0].state.dump() == first[0].state.dump()
        assert second[1].state.version_of("app_1") == 1
        assert second[1].hash == tokens.head.hash
        assert second[0].polled_at == polled_at

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

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda state: state.write_bytes(b"?" + state.read_bytes()[1:]), "damaged"),
            (lambda state: state.write_bytes(state.read_bytes()[:-1]), "damaged"),
            (lambda state: state.chmod(0o640), "others may"),
            (lambda state: state.unlink(), None),
        ],
        ids=["changed", "torn", "open", "gone"],
    )
    @pytest.mark.parametrize("log", ["registry", "tokens"])
    async def test_one_state_that_cannot_be_believed_refuses_all(
        self,
        tmp_path: Path,
        log: str,
        change: Callable[[Path], object],
        reason: str | None,
    ) -> None:
        registry, tokens = MemoryLog(), MemoryLog("tokens")
        registry.append("oauth_app-app_1", CREATED)
        tokens.append("oauth_app-app_1", AllTokensRevoked())
        both = await self.saved(tmp_path / "s", registry, tokens)
        change(state_of(tmp_path, log))
        fresh = self.subscriptions(registry, tokens)
        with capture_logs() as told:
            assert not await SnapshotFile(tmp_path / "s", fresh).restore()
        assert fresh[0].polled_at is None
        assert fresh[1].polled_at is None
        if reason is not None:
            assert reason in told[0]["reason"]
        assert both[0].position == 1

    @pytest.mark.parametrize(
        "rubbish", [b"{}", b"[]", b'["sources",[1]]', b"\xff", b""]
    )
    async def test_a_sound_checksum_of_a_state_makes_no_sense_of_rubbish(
        self, tmp_path: Path, rubbish: bytes
    ) -> None:
        now = Moment.now()
        state = write_state(tmp_path, "s.registry.x", [rubbish])
        index = encode_index(
            [
                LogSnapshot(
                    "registry", 0, b"\0" * 32, now, 9.0, RegistryState.SHAPE, state
                )
            ],
            boot_id=None,
        )
        path = tmp_path / "s"
        path.touch(mode=0o600)
        path.write_bytes(index)
        fresh = self.subscriptions(MemoryLog(), MemoryLog("tokens"))
        assert not await SnapshotFile(path, fresh[:1]).restore()
        assert fresh[0].polled_at is None

    async def test_a_state_of_another_shape_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        registry, tokens = MemoryLog(), MemoryLog("tokens")
        await self.saved(tmp_path / "s", registry, tokens)
        fresh = self.subscriptions(registry, tokens)
        monkeypatch.setattr(TokensState, "SHAPE", "another")
        assert not await SnapshotFile(tmp_path / "s", fresh).restore()
        assert fresh[0].polled_at is None

    async def test_a_state_that_has_not_changed_is_not_written_again(
        self, tmp_path: Path
    ) -> None:
        registry, tokens = MemoryLog(), MemoryLog("tokens")
        registry.append("oauth_app-app_1", CREATED)
        path = tmp_path / "s"
        both = self.subscriptions(registry, tokens)
        file = SnapshotFile(path, both)
        async with running(*(each.run() for each in both)):
            await until(lambda: both[0].ready and both[1].ready)
            await file.save()
            before = inodes_in(tmp_path)
            tokens.append("oauth_app-app_1", AllTokensRevoked())
            await until(lambda: both[1].position == 1)
            await file.save()
        after = inodes_in(tmp_path)
        assert len(after) == len(before)
        same = {name for name, inode in after.items() if before.get(name) == inode}
        assert same == {f"s.registry.{registry.head.hash.hex()[:16]}"}

    async def test_what_a_killed_process_left_is_cleared_away(
        self, tmp_path: Path
    ) -> None:
        left = (f"s.registry.{'0' * 16}", f".s.tokens.{'0' * 16}.new", ".s.new")
        not_ours = ("s.bak", "s.registry.old", "other.registry." + "0" * 16)
        for name in (*left, *not_ours):
            (tmp_path / name).touch()
        await self.saved(tmp_path / "s", MemoryLog(), MemoryLog("tokens"))
        found = set(names_in(tmp_path))
        assert not found & set(left)
        assert set(not_ours) < found

    async def saved(
        self, path: Path, registry: MemoryLog, tokens: MemoryLog
    ) -> tuple[Subscription[RegistryState], Subscription[TokensState]]:
        both = self.subscriptions(registry, tokens)
        async with running(*(each.run() for each in both)):
            await until(lambda: both[0].ready and both[1].ready)
            assert await SnapshotFile(path, both).save()
        return both

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

    async def test_whoever_is_stopped_while_it_writes_leaves_nobody_writing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else an index of before may replace the last one, and remove its states."""
        begun, go_on = threading.Event(), threading.Event()

        def read_boot_id() -> None:
            begun.set()
            go_on.wait()

        monkeypatch.setattr("tollgate.projections.snapshot.read_boot_id", read_boot_id)
        both = self.subscriptions(MemoryLog(), MemoryLog("tokens"))
        async with running(*(each.run() for each in both)):
            await until(lambda: both[0].ready and both[1].ready)
            saving = asyncio.create_task(SnapshotFile(tmp_path / "s", both).save())
            try:
                await until(begun.is_set)
                saving.cancel()
                for _ in range(10):
                    await asyncio.sleep(0)
                assert not saving.done()
            finally:
                go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await saving
        assert (tmp_path / "s").exists()

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


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def inodes_in(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_ino for file in folder.iterdir()}


def state_of(folder: Path, log: str) -> Path:
    """The file that holds the state of `log`."""
    (state,) = folder.glob(f"s.{log}.*")
    return state
