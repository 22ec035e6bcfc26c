"""Unknown is not no (DESIGN 4): it is told when the logs were read once more."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from tollgate.messaging.subscription import NotLevel

MAX_PAUSE = 0.005
"""Seconds between two readings at most."""


class Waiting(Protocol):
    """A request that is decided when the logs have been read; must not raise."""

    def confirmed(self, is_level: bool) -> None:
        """They were read after it asked, or could not be."""
        ...

    def break_off(self, fault: Exception) -> None:
        """There will be no answer, because of a fault of ours."""
        ...


class Confirmation:
    """Has logs read for all who wait for it: `read` raises `NotLevel` if it cannot."""

    def __init__(self, read: Callable[[], Awaitable[None]]) -> None:
        self._read = read
        self._waiting: list[Waiting] = []
        self._reading: asyncio.Task[None] | None = None

    def add(self, waiting: Waiting) -> None:
        """Tell it when they have been read.

        A reading that is under way began too early; all who come meanwhile share the
        one that follows it. That one begins after a pause as long as a quick reading
        takes, so that those of a flood who were told now share it as well.
        """
        self._waiting.append(waiting)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_for_all())

    async def _read_for_all(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                begun = time.monotonic()
                try:
                    await self._read()
                except NotLevel:
                    is_level = False
                except Exception as fault:  # noqa: BLE001 - each who waits ends of it
                    for each in waiting:
                        each.break_off(fault)
                    continue
                else:
                    is_level = True
                pause = min(time.monotonic() - begun, MAX_PAUSE)
                for each in waiting:
                    each.confirmed(is_level)
                await asyncio.sleep(pause)
        finally:
            self._reading = None
