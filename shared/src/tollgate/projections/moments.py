"""An instant on two clocks, so that neither a frozen process nor a set clock lies."""

import time
from functools import partial
from pathlib import Path

import msgspec

# Counts while the machine sleeps, where the system has such a clock.
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
boottime = partial(time.clock_gettime, _BOOTTIME)
"""Seconds since this machine booted."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Moment(msgspec.Struct, frozen=True):
    """Seconds since this machine booted, and since the epoch."""

    boottime: float
    wall: float

    @classmethod
    def now(cls) -> "Moment":
        return cls(boottime(), time.time())

    def until(self, later: "Moment") -> float:
        """Seconds elapsed until `later`: what the clock that says more says.

        A wall clock that was set back says too little, and is then not believed; one
        that was set forward says too much, and is believed until the next poll.
        """
        return max(later.boottime - self.boottime, later.wall - self.wall)


def read_boot_id() -> str | None:
    """Names this boot of the machine; None where the system does not say."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
