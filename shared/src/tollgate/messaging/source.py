"""Where a log is read from: its owner's feed, or the owner's own database."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Protocol

from tollgate.eventlog import EventLog, LogUnavailable
from tollgate.events import RecordedEvent
from tollgate.messaging.notifications import Notifications

TICK = 1.0
"""Seconds after which a waiting read looks again, notified or not."""


@dataclass(frozen=True, slots=True)
class LogHead:
    """The last event of a log, as read after the request for it arrived."""

    position: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """Events that follow the position asked for, and where the log ended then.

    `max_age` is the owner's: how old a view of this log may be that decides anything.
    """

    events: Sequence[RecordedEvent]
    head: LogHead
    max_age: timedelta


class SourceUnavailable(Exception):
    """The log could not be read now; its text says why, for the operator."""


class LogDiverged(Exception):
    """The log does not have the event asked after: it was put back, or is another."""


class LogSource(Protocol):
    """One log, as one reader may see it."""

    @property
    def log(self) -> str:
        """The name of the log."""

    @property
    def whole(self) -> bool:
        """Whether data of members and access tokens comes with the events."""

    async def read_after(
        self,
        position: int,
        last: bytes | None,
        *,
        limit: int,
        wait: timedelta = timedelta(0),
    ) -> Page:
        """The events after `position`, whose hash the reader believes to be `last`.

        With nothing to tell it answers after `wait` at the latest, and empty. Raises
        `LogDiverged` if the log has no such event, and `SourceUnavailable` in bounded
        time if it cannot be read.
        """


class LocalSource:
    """A log read from its own database, on the primary."""

    whole = True

    def __init__(
        self, log: EventLog, notifications: Notifications, *, max_age: timedelta
    ) -> None:
        self._log = log
        self._notifications = notifications
        self.max_age = max_age
        log.tell_of_appends(partial(notifications.ring, log.name))

    @property
    def log(self) -> str:
        return self._log.name

    async def read_after(
        self,
        position: int,
        last: bytes | None,
        *,
        limit: int,
        wait: timedelta = timedelta(0),
    ) -> Page:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait.total_seconds()
        while True:
            heard = self._notifications.heard(self.log)
            page = await self._read(position, last, limit)
            left = deadline - loop.time()
            if page.events or left <= 0 or self._notifications.closed:
                return page
            await self._notifications.wait(
                self.log, after=heard, at_most=min(left, TICK)
            )

    async def _read(self, position: int, last: bytes | None, limit: int) -> Page:
        try:
            head = await self._log.head()
            page_head = LogHead(head.position, head.hash)
            if position > head.position:
                raise LogDiverged(f"the log ends at {head.position}")
            if position == head.position:
                known: bytes | None = head.hash
            else:
                known = await self._log.hash_at(position) if last else None
            if last is not None and known != last:
                raise LogDiverged(f"the event at {position} is another")
            events: Sequence[RecordedEvent] = ()
            if position < head.position:
                events = await self._log.read_after(position, limit=limit)
        except LogUnavailable as error:
            raise SourceUnavailable(str(error)) from error
        return Page(events, page_head, self.max_age)
