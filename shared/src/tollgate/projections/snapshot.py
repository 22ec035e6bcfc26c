"""What a process knew, kept in files, so that it can start while all else is down.

Each state is a file of its own, written when the state has changed. Beside them lies
the index, which is written every time:

    tollgate-snapshot 2 <SHA-256 of all that follows, hex> LF
    <JSON> LF

It names for each log its state's file and checksum, its position and hash, and when
the poll was sent that the state is level with, on both clocks, and the boot during
which it was. An index that is damaged, of another format, open to others or from the
future is refused, and so is one whose states are: then the logs are read from the
beginning.
"""

import asyncio
import gc
import glob
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar

import msgspec
import structlog

from tollgate.background import in_thread
from tollgate.garbage import not_collecting
from tollgate.messaging.subscription import Subscription
from tollgate.projections.forked import in_fork
from tollgate.projections.huge_pages import use_huge_pages
from tollgate.projections.moments import Moment, read_boot_id
from tollgate.projections.replica import Replica, State
from tollgate.projections.state_files import (
    FileRefused,
    StateFile,
    private,
    read_state,
    replacing,
    write_state,
)

FORMAT = b"tollgate-snapshot 2"
INTERVAL = timedelta(seconds=30)
"""How much older a restarted process can be than it was when it was killed."""

FUTURE_TOLERANCE = 5.0
"""Seconds by which a wall clock may have been set back between writing and reading."""

LARGE = 16 * 1024 * 1024
"""Bytes of states from which on it pays to move memory to huge pages."""

logger = structlog.get_logger(__name__)


class SnapshotRefused(Exception):
    """The snapshot cannot be started from; its text says why."""


class Snapshotable(State, Protocol):
    """A state that can be written down and read again."""

    SHAPE: ClassVar[str]
    """Another text for every version whose parts must not be read by this one."""

    def parts(self) -> Iterator[bytes]:
        """All that it holds, as lines of bounded length."""

    @classmethod
    def of_parts(cls, parts: Iterable[bytes]) -> Self:
        """The state that has these `parts`.

        Raises `msgspec.MsgspecError` or `ValueError` if they are none.
        """


SnapshotableT = TypeVar("SnapshotableT", bound=Snapshotable)


@dataclass(frozen=True, slots=True)
class LogSnapshot:
    """One log as it was known: `polled_at` is on the clocks of the boot it names."""

    log: str
    position: int
    hash: bytes
    polled_at: Moment
    max_age: float
    shape: str
    state: StateFile


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    log: str
    position: int
    hash: str
    boottime: float
    wall: float
    max_age: float
    shape: str
    state: StateFile


class _Index(msgspec.Struct, frozen=True, kw_only=True):
    boot_id: str | None
    logs: list[_Entry]


def encode_index(logs: Sequence[LogSnapshot], *, boot_id: str | None) -> bytes:
    index = _Index(
        boot_id=boot_id,
        logs=[
            _Entry(
                log=each.log,
                position=each.position,
                hash=each.hash.hex(),
                boottime=each.polled_at.boottime,
                wall=each.polled_at.wall,
                max_age=each.max_age,
                shape=each.shape,
                state=each.state,
            )
            for each in logs
        ],
    )
    content = msgspec.json.encode(index) + b"\n"
    checksum = hashlib.sha256(content).hexdigest().encode()
    return b"".join((FORMAT, b" ", checksum, b"\n", content))


def decode_index(
    encoded: bytes, *, now: Moment, boot_id: str | None
) -> dict[str, LogSnapshot]:
    """The logs by name, with `polled_at` on the clocks of now, or `SnapshotRefused`."""
    first, _, content = encoded.partition(b"\n")
    form, _, checksum = first.rpartition(b" ")
    if form != FORMAT:
        raise SnapshotRefused("it has another format")
    if hashlib.sha256(content).hexdigest().encode() != checksum:
        raise SnapshotRefused("it is damaged")
    try:
        index = msgspec.json.decode(content, type=_Index)
        hashes = [bytes.fromhex(entry.hash) for entry in index.logs]
    except (msgspec.MsgspecError, ValueError) as error:
        raise SnapshotRefused("its index cannot be read") from error
    same_boot = boot_id is not None and boot_id == index.boot_id
    found: dict[str, LogSnapshot] = {}
    for entry, last in zip(index.logs, hashes, strict=True):
        polled_at = _on_the_clocks_of(
            now, Moment(entry.boottime, entry.wall), same_boot=same_boot
        )
        found[entry.log] = LogSnapshot(
            entry.log,
            entry.position,
            last,
            polled_at,
            entry.max_age,
            entry.shape,
            entry.state,
        )
    return found


def _on_the_clocks_of(now: Moment, then: Moment, *, same_boot: bool) -> Moment:
    """`then` as a moment that can be compared with `now`.

    After another boot only the wall clock can tell how long ago it was.
    """
    elapsed = now.wall - then.wall
    if elapsed < -FUTURE_TOLERANCE:
        raise SnapshotRefused("it is from the future")
    if same_boot:
        if then.boottime > now.boottime:
            raise SnapshotRefused("it is from the future of this boot")
        return then
    return Moment(now.boottime - max(elapsed, 0.0), min(then.wall, now.wall))


class SnapshotFile:
    """A snapshot of several subscriptions, whose index is at `path`.

    One process writes it. The names of its other files begin with that of the index.
    """

    def __init__(self, path: Path, subscriptions: Sequence[Subscription[Any]]) -> None:
        self._path = path
        self._subscriptions = subscriptions
        self._saving = asyncio.Lock()
        self._written: dict[str, tuple[bytes, StateFile]] = {}
        """By log: the state that is in a file, told by its hash, and that file."""
        self._on_huge_pages = False

    async def restore(self) -> bool:
        """Start every subscription from the files; False, and a log line, if it cannot.

        All of them or none: one that is missing begins at position 0 like the others.
        What is read is left alone by the collector of garbage, meanwhile and from then
        on: there is a lot of it, and it is none.
        """
        try:
            with not_collecting():
                found, replicas = await asyncio.to_thread(self._read)
        except FileNotFoundError:
            return False
        except (OSError, FileRefused, SnapshotRefused) as error:
            logger.warning("snapshot refused", path=str(self._path), reason=str(error))
            return False
        gc.freeze()
        for each in self._subscriptions:
            snapshot = found[each.log]
            each.restore(
                replicas[each.log],
                polled_at=snapshot.polled_at,
                max_age=snapshot.max_age,
            )
            self._written[each.log] = (snapshot.hash, snapshot.state)
            logger.info(
                "log restored from snapshot",
                log=each.log,
                position=each.position,
                age=round(each.age(), 1),
            )
        return True

    async def save(self) -> bool:
        """Write what is known now; False while a log has never been polled.

        States that have changed are written by a fork that is made here, between two
        events; the index follows in a thread, when they are on the disk.
        """
        async with self._saving:
            known = [_KnownLog.of(each) for each in self._subscriptions]
            if any(each is None for each in known):
                return False
            logs = [each for each in known if each is not None]
            changed = [each for each in logs if not self._has_written(each)]
            if changed:
                answer = await in_fork(lambda: self._write_states(changed))
                files = msgspec.json.decode(answer, type=list[StateFile])
                for each, file in zip(changed, files, strict=True):
                    self._written[each.log] = (each.hash, file)
            await in_thread(self._write_index, logs)
            if not self._on_huge_pages and self._bytes_written() >= LARGE:
                self._on_huge_pages = True
                await in_thread(use_huge_pages)
            return True

    async def run(self, interval: timedelta = INTERVAL) -> None:
        """Save again and again until cancelled, and then once more."""
        try:
            while True:
                await asyncio.sleep(interval.total_seconds())
                await self._save_or_tell()
        finally:
            await self._save_or_tell()

    async def _save_or_tell(self) -> None:
        try:
            await self.save()
        except OSError as error:
            logger.warning(
                "snapshot not written", path=str(self._path), reason=str(error)
            )

    def _has_written(self, known: "_KnownLog") -> bool:
        written = self._written.get(known.log)
        return written is not None and written[0] == known.hash

    def _bytes_written(self) -> int:
        return sum(file.bytes for _, file in self._written.values())

    def _write_states(self, changed: "Sequence[_KnownLog]") -> bytes:
        return msgspec.json.encode(
            [
                write_state(
                    self._path.parent,
                    f"{self._path.name}.{each.log}.{each.hash.hex()[:16]}",
                    each.state.parts(),
                )
                for each in changed
            ]
        )

    def _write_index(self, known: "Sequence[_KnownLog]") -> None:
        logs = [
            LogSnapshot(
                each.log,
                each.position,
                each.hash,
                each.polled_at,
                each.max_age,
                each.state.SHAPE,
                self._written[each.log][1],
            )
            for each in known
        ]
        with replacing(self._path) as file:
            file.write(encode_index(logs, boot_id=read_boot_id()))
        self._remove_others({each.state.name for each in logs})

    def _remove_others(self, kept: AbstractSet[str]) -> None:
        """Remove states that no index names any more, whole or begun."""
        for each in self._subscriptions:
            name = glob.escape(f"{self._path.name}.{each.log}.") + "[0-9a-f]" * 16
            for pattern in (name, f".{name}.new"):
                for state in self._path.parent.glob(pattern):
                    if state.name not in kept:
                        state.unlink(missing_ok=True)

    def _read(self) -> tuple[Mapping[str, LogSnapshot], Mapping[str, Replica[Any]]]:
        with private(self._path) as file:
            found = decode_index(file.read(), now=Moment.now(), boot_id=read_boot_id())
        replicas = {
            each.log: self._read_replica(each, found) for each in self._subscriptions
        }
        if sum(snapshot.state.bytes for snapshot in found.values()) >= LARGE:
            use_huge_pages()
            self._on_huge_pages = True
        return found, replicas

    def _read_replica(
        self, subscription: Subscription[Any], found: Mapping[str, LogSnapshot]
    ) -> Replica[Any]:
        snapshot = found.get(subscription.log)
        if snapshot is None:
            raise SnapshotRefused(f"it has no log {subscription.log}")
        kind: type[Snapshotable] = type(subscription.state)
        if snapshot.shape != kind.SHAPE:
            raise SnapshotRefused("a state has another shape")
        state = read_state(self._path.parent, snapshot.state, kind.of_parts)
        return Replica(
            subscription.log, state, position=snapshot.position, last=snapshot.hash
        )


@dataclass(frozen=True, slots=True)
class _KnownLog:
    """What a subscription knew at one moment. `state` goes on changing."""

    log: str
    position: int
    hash: bytes
    polled_at: Moment
    max_age: float
    state: Snapshotable

    @classmethod
    def of(cls, subscription: Subscription[Any]) -> "_KnownLog | None":
        polled_at = subscription.polled_at
        if polled_at is None:
            return None
        return cls(
            subscription.log,
            subscription.position,
            subscription.hash,
            polled_at,
            subscription.max_age,
            subscription.state,
        )
