"""What a process knew, kept in one file, so that it can start while all else is down.

    tollgate-snapshot 1 <SHA-256 of all that follows, hex> LF
    <index: JSON> LF
    <state of the first log> <state of the second> …

The index names for each log its position and hash and when the poll was sent that the
state is level with, on both clocks, and the boot during which it was. A file that is
damaged, of another format, open to others or from the future is refused whole: then
the logs are read from the beginning.
"""

import asyncio
import hashlib
import os
import stat
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias, TypeVar

import msgspec
import structlog

from tollgate.messaging.subscription import Subscription
from tollgate.projections.moments import Moment, read_boot_id
from tollgate.projections.replica import Replica, State

FORMAT = b"tollgate-snapshot 1"
INTERVAL = timedelta(seconds=30)
"""How much older a restarted process can be than it was when it was killed."""

FUTURE_TOLERANCE = 5.0
"""Seconds by which a wall clock may have been set back between writing and reading."""

SLICE = 200
"""Entities encoded at a time: a millisecond at most."""

_MODE = 0o600

Contents: TypeAlias = Mapping[str, Mapping[str, Any]]

logger = structlog.get_logger(__name__)


class SnapshotRefused(Exception):
    """The file cannot be started from; its text says why."""


class Snapshotable(State, Protocol):
    """A state that can be written down and read again."""

    def contents(self) -> Mapping[str, Mapping[str, Any]]:
        """Copies of its containers, by name, of entities that never change."""

    @classmethod
    def load(cls, dump: bytes) -> Self:
        """The state with these contents, from one JSON object."""


SnapshotableT = TypeVar("SnapshotableT", bound=Snapshotable)


@dataclass(frozen=True, slots=True)
class LogSnapshot:
    """One log as it was known: `polled_at` is on the clocks of the boot it names."""

    log: str
    position: int
    hash: bytes
    polled_at: Moment
    max_age: float
    state: bytes


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    log: str
    position: int
    hash: str
    boottime: float
    wall: float
    max_age: float
    bytes: int


class _Index(msgspec.Struct, frozen=True, kw_only=True):
    boot_id: str | None
    logs: list[_Entry]


def encode_snapshot(logs: Sequence[LogSnapshot], *, boot_id: str | None) -> bytes:
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
                bytes=len(each.state),
            )
            for each in logs
        ],
    )
    content = b"".join(
        (msgspec.json.encode(index), b"\n", *(each.state for each in logs))
    )
    checksum = hashlib.sha256(content).hexdigest().encode()
    return b"".join((FORMAT, b" ", checksum, b"\n", content))


def decode_snapshot(
    encoded: bytes, *, now: Moment, boot_id: str | None
) -> dict[str, LogSnapshot]:
    """The logs by name, with `polled_at` on the clocks of now, or `SnapshotRefused`."""
    first, _, content = encoded.partition(b"\n")
    form, _, checksum = first.rpartition(b" ")
    if form != FORMAT:
        raise SnapshotRefused("it has another format")
    if hashlib.sha256(content).hexdigest().encode() != checksum:
        raise SnapshotRefused("it is damaged")
    head, _, states = content.partition(b"\n")
    try:
        index = msgspec.json.decode(head, type=_Index)
        hashes = [bytes.fromhex(entry.hash) for entry in index.logs]
    except (msgspec.MsgspecError, ValueError) as error:
        raise SnapshotRefused("its index cannot be read") from error
    same_boot = boot_id is not None and boot_id == index.boot_id
    found: dict[str, LogSnapshot] = {}
    start = 0
    for entry, last in zip(index.logs, hashes, strict=True):
        polled_at = _on_the_clocks_of(
            now, Moment(entry.boottime, entry.wall), same_boot=same_boot
        )
        state = states[start : start + entry.bytes]
        start += entry.bytes
        found[entry.log] = LogSnapshot(
            entry.log, entry.position, last, polled_at, entry.max_age, state
        )
    if start != len(states):
        raise SnapshotRefused("its states have other lengths")
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


def encode_in_slices(contents: Contents) -> bytes:
    """`contents` as one JSON object, a few entities at a time.

    The encoder holds the interpreter's lock while it runs: a large state encoded at
    once would stop the loop as surely from a thread as from within.
    """
    members = (
        msgspec.json.encode(name) + b":" + _encode_slices_of(entities)
        for name, entities in contents.items()
    )
    return b"{" + b",".join(members) + b"}"


def _encode_slices_of(entities: Mapping[str, Any]) -> bytes:
    items = iter(entities.items())
    slices: list[bytes] = []
    while some := dict(islice(items, SLICE)):
        slices.append(msgspec.json.encode(some)[1:-1])
        time.sleep(0)  # lets the loop run
    return b"{" + b",".join(slices) + b"}"


class SnapshotFile:
    """A snapshot of several subscriptions at `path`. One process writes it."""

    def __init__(self, path: Path, subscriptions: Sequence[Subscription[Any]]) -> None:
        self._path = path
        self._subscriptions = subscriptions
        self._writing = threading.Lock()
        self._dumps: dict[str, tuple[bytes, bytes]] = {}

    async def restore(self) -> bool:
        """Start every subscription from the file; False, and a log line, if it cannot.

        All of them or none: one that is missing begins at position 0 like the others.
        """
        try:
            found = await asyncio.to_thread(self._read)
            replicas = {
                each.log: _replica_of(each, found) for each in self._subscriptions
            }
        except FileNotFoundError:
            return False
        except (OSError, SnapshotRefused) as error:
            logger.warning("snapshot refused", path=str(self._path), reason=str(error))
            return False
        for each in self._subscriptions:
            snapshot = found[each.log]
            each.restore(
                replicas[each.log],
                polled_at=snapshot.polled_at,
                max_age=snapshot.max_age,
            )
            logger.info(
                "log restored from snapshot",
                log=each.log,
                position=each.position,
                age=round(each.age(), 1),
            )
        return True

    async def save(self) -> bool:
        """Write what is known now; False while a log has never been polled.

        The states are copied here, between two events; everything else happens in a
        thread.
        """
        logs: list[tuple[LogSnapshot, Contents | None]] = []
        for each in self._subscriptions:
            polled_at = each.polled_at
            if polled_at is None:
                return False
            known = self._dumps.get(each.log)
            unchanged = known is not None and known[0] == each.hash
            snapshot = LogSnapshot(
                each.log,
                each.position,
                each.hash,
                polled_at,
                each.max_age,
                known[1] if known is not None and unchanged else b"",
            )
            logs.append((snapshot, None if unchanged else each.state.contents()))
        await asyncio.to_thread(self._write, logs)
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

    def _write(self, logs: "Sequence[tuple[LogSnapshot, Contents | None]]") -> None:
        with self._writing:
            snapshots = []
            for snapshot, contents in logs:
                if contents is not None:
                    state = encode_in_slices(contents)
                    self._dumps[snapshot.log] = (snapshot.hash, state)
                    snapshot = replace(snapshot, state=state)  # noqa: PLW2901
                snapshots.append(snapshot)
            encoded = encode_snapshot(snapshots, boot_id=read_boot_id())
            # Under one name, so that a process killed here leaves one file, not many.
            fresh = self._path.with_name(f".{self._path.name}.new")
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            with os.fdopen(os.open(fresh, flags, _MODE), "wb") as file:
                os.fchmod(file.fileno(), _MODE)
                file.write(encoded)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # else a power cut may bring the old file back
            finally:
                os.close(folder)

    def _read(self) -> Mapping[str, LogSnapshot]:
        with self._path.open("rb") as file:
            about = os.fstat(file.fileno())
            if about.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise SnapshotRefused("others may read or write it")
            if about.st_uid != os.geteuid():
                raise SnapshotRefused("it belongs to somebody else")
            encoded = file.read()
        return decode_snapshot(encoded, now=Moment.now(), boot_id=read_boot_id())


def _replica_of(
    subscription: Subscription[SnapshotableT], found: Mapping[str, LogSnapshot]
) -> Replica[SnapshotableT]:
    snapshot = found.get(subscription.log)
    if snapshot is None:
        raise SnapshotRefused(f"it has no log {subscription.log}")
    try:
        state = type(subscription.state).load(snapshot.state)
    except (msgspec.MsgspecError, ValueError) as error:
        raise SnapshotRefused("a state cannot be read") from error
    return Replica(
        subscription.log, state, position=snapshot.position, last=snapshot.hash
    )
