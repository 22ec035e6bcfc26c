"""What a process has used, and a core: time and memory, from proc(5)."""

import os
import re
from pathlib import Path

import msgspec

from local_stack.ledger import descendants

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_UTIME, _STIME = 11, 12  # counted from after the name


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its descendants, user and kernel together.

    The kernel counts in ticks of 10 ms: measure over a second and more.
    """
    family = [pid, *(member.pid for member in descendants(pid))]
    return sum(_ticks(member) for member in family) * _TICK


class CoreTimes(msgspec.Struct, frozen=True):
    """How many seconds a core has worked: in programs, and in the kernel for them."""

    programs: float
    kernel: float

    def since(self, earlier: "CoreTimes") -> "CoreTimes":
        return CoreTimes(self.programs - earlier.programs, self.kernel - earlier.kernel)


def core_times(core: int) -> CoreTimes:
    """The work of the core since the machine was switched on."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *counts = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _waiting, interrupts, soft = map(int, counts[:7])
            return CoreTimes(
                (user + nice) * _TICK, (system + interrupts + soft) * _TICK
            )
    raise ValueError(f"there is no core {core}")


def stolen_seconds(stat: Path = Path("/proc/stat")) -> float:
    """What all cores together have lost since the machine was switched on.

    Those of a virtual machine stand still while its host runs something else, or when
    they have used up what it allots to them: proc(5) calls it steal.
    """
    _all_cores, *counts = stat.read_text().partition("\n")[0].split()
    return int(counts[7]) * _TICK


def share_stolen(stolen: float, elapsed: float) -> float:
    """Of the time of all cores, which was `elapsed` seconds for each."""
    return stolen / elapsed / (os.cpu_count() or 1)


def resident_bytes(pid: int) -> int:
    """What the process holds in memory now."""
    return _kibibytes(pid, "VmRSS") * 1024


def peak_resident_bytes(pid: int) -> int:
    """The most it ever held."""
    return _kibibytes(pid, "VmHWM") * 1024


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[_UTIME]) + int(fields[_STIME])


def _kibibytes(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found.group(1)) if found else 0
