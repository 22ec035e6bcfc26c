"""Folds a log into a state as fast as the database can tell it.

COPY sends one line of JSON an event, made by PostgreSQL of nothing but the columns that
a fold needs, and the state decodes thousands of them at once. Nothing is checked
against the hash chain: `EventLog.verify` does that.

Anything odd (an event of an unknown type, data that does not fit, the name of a stream
that JSON would escape) is read again as `RecordedEvent`s and folded by `apply`, which
knows what to do or says what is wrong. So both ways end in the same state.
"""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

import msgspec
from asyncpg.protocol import NO_TIMEOUT

from tollgate.database import Pool
from tollgate.events import RecordedEvent, UnreadableEvent

BLOCK = 128 * 1024
"""Bytes that are decoded at once as soon as there are so many.

One read from the socket brings nearly twice that, and is decoded alone then: what is
made of two of them outgrows the cache of a core before it is folded.
"""

CHUNK = 100_000
"""Events in one COPY: far below `statement_timeout`."""

CHUNK_TIMEOUT = 30.0
"""Seconds until a COPY that does not end is given up."""


# With one, asyncpg would run each call of `_take` in a task of its own.
_NO_TIMEOUT: Any = NO_TIMEOUT


class Replayable(Protocol):
    """A state that also folds lines as `replay` reads them."""

    def apply(self, recorded: RecordedEvent) -> None:
        """Fold in the next event, or raise `UnreadableEvent` and change nothing."""

    def fold_lines(self, first: int, lines: bytes) -> int:
        """Fold in a line `[version, stream, data]` for each event; how many there were.

        The event of the first line is at position `first`, those of the others follow
        without a hole. Raises `msgspec.MsgspecError` or `RecursionError` and changes
        nothing if a line cannot be decoded or its event is one that only `apply` folds,
        and `UnreadableEvent` at the first event that cannot be folded.
        """

    def reach(self, recorded_at: datetime) -> None:
        """It is `recorded_at` in the log: what has expired by then may be left out."""


class OddLines(Exception):
    """`count` events are to be folded one by one, by `apply`."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} events")
        self.count = count


class Replay:
    """`state` is that of the log up to `position`, between calls."""

    def __init__(self, pool: Pool, log: str, state: Replayable, position: int) -> None:
        self._pool = pool
        self._log = log
        self._state = state
        self.position = position
        self._parts: list[bytes] = []
        self._size = 0

    async def read(self, end: int) -> None:
        """Fold the next events, up to and with `end`, and at most `CHUNK` of them.

        Raises `OddLines` if the next ones cannot be decoded, `UnreadableEvent` if one
        cannot be folded or is missing, and what `database` calls `LOST` or `UNDONE`;
        then some may have been folded, as `position` tells.
        """
        self._parts.clear()
        self._size = 0
        end = min(end, self.position + CHUNK)
        # No character of JSON or of a name is the quote or the delimiter: where one is
        # all the same, the line is no JSON, as where the name holds a backslash. What
        # stands between is columns of their own, because to join texts costs the
        # database more than to send them.
        query = f"""
            SELECT
                '[', version, ',',
                CASE WHEN strpos(stream, '\\') = 0 THEN '"' || stream || '"' END,
                ',', data, ']'
            FROM {self._log}.events
            WHERE position > {self.position} AND position <= {end}
            ORDER BY position
        """  # noqa: S608 - a name of our own and numbers
        async with asyncio.timeout(CHUNK_TIMEOUT), self._pool.acquire() as connection:
            try:
                await connection.copy_from_query(
                    query,
                    output=self._take,
                    format="csv",
                    delimiter="\t",
                    quote="\x01",
                    timeout=_NO_TIMEOUT,
                )
            except BaseException:
                # Before asyncpg gives back the connection of a COPY that was left, it
                # waits for an end of it, for five seconds if that has come already.
                connection.terminate()
                raise
            self._fold()
            if self.position < end:
                raise UnreadableEvent(f"an event up to {end} is missing")

    def expect(self, position: int) -> None:
        """Raise `UnreadableEvent` unless `position` is the next."""
        if position != self.position + 1:
            raise UnreadableEvent(f"event {self.position + 1} is missing")

    async def _take(self, lines: bytes) -> None:
        """What came from the database: always whole lines."""
        self._parts.append(lines)
        self._size += len(lines)
        if self._size >= BLOCK:
            self._fold()

    def _fold(self) -> None:
        lines = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        try:
            self.position += self._state.fold_lines(self.position + 1, lines)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise OddLines(lines.count(b"\n")) from error


@contextmanager
def gc_paused() -> Iterator[None]:
    """No garbage collection meanwhile: a state that grows is looked through in vain."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
