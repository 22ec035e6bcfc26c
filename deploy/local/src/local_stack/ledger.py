"""Which processes a launcher started, written down where the next one finds them.

A launcher that is killed cannot tidy up. Its children get a signal from the kernel
(see `children`), and whatever outlives that is ended by the next launcher that opens
the same ledger. A process is recognised by its id together with its start time, never
by its name: other copies on the machine run the same programs.
"""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import msgspec

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_GRACE = 10.0  # seconds between the polite signal and SIGKILL
_POLL = 0.02


class ProcessIdentity(msgspec.Struct, frozen=True):
    """One process of this machine since it was switched on, and no later namesake."""

    pid: int
    started: int  # clock ticks after boot
    boot_id: str

    def is_running(self) -> bool:
        """Whether the process still executes; one that only waits to be reaped not."""
        stat = _stat_of(self.pid)
        return (
            stat is not None
            and stat.started == self.started
            and stat.state not in "ZX"
            and self.boot_id == _boot_id()
        )

    def send(self, signum: int) -> None:
        """Signal the process if it is still the same one."""
        if self.is_running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)


class Entry(msgspec.Struct, frozen=True):
    """A started process and the signal that asks it to stop."""

    name: str
    identity: ProcessIdentity
    stop_signal: int


class Ledger:
    """A file with the running children of one launcher."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[int, Entry] = {}
        self._writing = threading.Lock()  # servers are started side by side

    def record(self, name: str, pid: int, stop_signal: signal.Signals) -> None:
        identity = identify(pid)
        if identity is not None:
            with self._writing:
                self._entries[pid] = Entry(name, identity, int(stop_signal))
                self._write()

    def forget(self, pid: int) -> None:
        with self._writing:
            if self._entries.pop(pid, None):
                self._write()

    def end_leftovers(self) -> list[str]:
        """End what an earlier launcher left running; the names of what was ended."""
        try:
            entries = msgspec.json.decode(self._path.read_bytes(), type=list[Entry])
        except (FileNotFoundError, msgspec.MsgspecError):
            return []
        left = [entry for entry in entries if entry.identity.is_running()]
        for entry in left:
            end(entry.identity, entry.stop_signal)
        self._path.unlink(missing_ok=True)
        return [entry.name for entry in left]

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(list(self._entries.values())))
        fresh.replace(self._path)


def end(identity: ProcessIdentity, stop_signal: int) -> None:
    """Stop a process and its descendants: first politely, then for good."""
    family = [identity, *descendants(identity.pid)]
    identity.send(signal.SIGCONT)
    identity.send(stop_signal)
    if not wait_until_gone(family, _GRACE):
        for member in family:
            member.send(signal.SIGKILL)
        wait_until_gone(family, _GRACE)


def wait_until_gone(family: list[ProcessIdentity], timeout: float) -> bool:
    """Wait at most `timeout` seconds; whether none of `family` runs any more."""
    deadline = time.monotonic() + timeout
    while any(member.is_running() for member in family):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


def identify(pid: int) -> ProcessIdentity | None:
    """The identity of a running process."""
    stat = _stat_of(pid)
    return ProcessIdentity(pid, stat.started, _boot_id()) if stat else None


def descendants(pid: int) -> list[ProcessIdentity]:
    """The children of a process, their children, and so on, parents first."""
    children: dict[int, list[int]] = {}
    starts: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        child = int(entry.name)
        stat = _stat_of(child)
        if stat is not None:
            children.setdefault(stat.parent, []).append(child)
            starts[child] = stat.started
    family: list[int] = []
    generation = [pid]
    while generation:
        generation = [
            child for parent in generation for child in children.get(parent, ())
        ]
        family += generation
    boot_id = _boot_id()
    return [ProcessIdentity(member, starts[member], boot_id) for member in family]


class _Stat(msgspec.Struct, frozen=True):
    state: str
    parent: int
    started: int


def _stat_of(pid: int) -> _Stat | None:
    """Three fields of proc(5) /proc/pid/stat. The name before them may hold spaces."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    fields = text.rpartition(")")[2].split()
    return _Stat(state=fields[0], parent=int(fields[1]), started=int(fields[19]))


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()
