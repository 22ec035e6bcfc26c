"""One log of this process: append to it, read it."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import msgspec

from tollgate.background import running
from tollgate.database import LOST, UNDONE, Pool
from tollgate.eventlog.chain import Chain, genesis
from tollgate.eventlog.committer import CALLS_IN_FLIGHT, GroupCommitter, Outcome
from tollgate.eventlog.errors import LogUnavailable
from tollgate.eventlog.groups import Appended, AppendGroup
from tollgate.eventlog.replay import OddLines, Replay, Replayable, gc_paused
from tollgate.events import RecordedEvent, UnreadableEvent

READ_TRIES = 2
"""A pooled connection may have died since it was used last; a read may be repeated."""

VERIFY_PAGE = 5_000

MAX_VERSION = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a log: the last event's place, hash and time."""

    position: int
    hash: bytes
    recorded_at: datetime


class EventLog:
    """Reads raise `LogUnavailable` when the database cannot be asked in time."""

    def __init__(self, name: str, pool: Pool, committer: GroupCommitter) -> None:
        self.name = name
        self._pool = pool
        self._committer = committer

    def tell_of_appends(self, told: Callable[[int], object]) -> None:
        """`told` gets the last position of each call by which this process appends."""
        self._committer.on_appended = told

    async def append(self, group: AppendGroup) -> Appended:
        """Append all of `group` or nothing; see `errors` for what is raised."""
        return await self._committer.append(group)

    def submit(self, group: AppendGroup, outcome: Outcome) -> None:
        """As `append`; what that returns or raises is what `outcome` is settled with.

        Raises `LogUnavailable` if the group is not even taken. Who makes `outcome`
        `done` (cancels a future) before the group is sent takes it back.
        """
        self._committer.submit(group, outcome)

    async def head(self, *, also_of_standby: bool = False) -> Head:
        """The end of the log as it is when the database answers.

        A standby is refused unless it is asked for as such: what it calls the end may
        long have been passed.
        """
        rows = await self._read(
            f"SELECT position, hash, recorded_at FROM {self.name}.head"  # noqa: S608
            " WHERE $1 OR NOT pg_is_in_recovery()",
            also_of_standby,
        )
        if not rows:
            raise LogUnavailable("the database is a standby, not the primary")
        row = rows[0]
        return Head(row["position"], row["hash"], row["recorded_at"])

    async def hash_at(self, position: int) -> bytes | None:
        """The hash of the event at `position` (0: before the first), if it exists."""
        if position == 0:
            return genesis(self.name)
        rows = await self._read(
            f"SELECT hash FROM {self.name}.events WHERE position = $1",  # noqa: S608
            position,
        )
        return rows[0]["hash"] if rows else None

    async def position_at(self, moment: datetime) -> int:
        """The position of the last event recorded at `moment` or before, or 0."""
        rows = await self._read(
            f"SELECT max(position) AS last FROM {self.name}.events"  # noqa: S608
            " WHERE recorded_at <= $1",
            moment,
        )
        return rows[0]["last"] or 0

    async def load(
        self, stream: str, *, after_version: int = 0, to_version: int | None = None
    ) -> list[RecordedEvent]:
        """The events of one stream, oldest first.

        Only those after `after_version`, for a reader that has folded the others
        already, and up to and with `to_version`.
        """
        return await self._read_events(
            "WHERE stream = $1 AND version > $2 AND version <= $3 ORDER BY version",
            stream,
            after_version,
            MAX_VERSION if to_version is None else to_version,
        )

    async def read_after(self, position: int, *, limit: int) -> list[RecordedEvent]:
        """Up to `limit` events that follow `position`, in order."""
        return await self._read_events(
            "WHERE position > $1 ORDER BY position LIMIT $2", position, limit
        )

    async def read_command(self, command_id: str) -> list[RecordedEvent]:
        """The events that a command wrote, in order; none if it is not in the log."""
        rows = await self._read(
            "SELECT first_position, last_position"  # noqa: S608
            f" FROM {self.name}.commands WHERE command_id = $1",
            command_id,
        )
        if not rows:
            return []
        first, last = rows[0]
        return await self.read_after(first - 1, limit=last - first + 1)

    async def pages(
        self, after: int = 0, *, size: int = VERIFY_PAGE
    ) -> AsyncGenerator[Sequence[RecordedEvent]]:
        """The log from `after` on, in pages that follow each other without a hole."""
        while page := await self.read_after(after, limit=size):
            yield page
            after = page[-1].position

    async def replay(self, state: Replayable, *, to: int | None = None) -> int:
        """Fold the log from its beginning into `state`; the position reached.

        That is the end of the log as it is now, or `to` if that comes before. Raises
        `UnreadableEvent` at an event that must be understood and cannot be; the state
        is of no use then. The hash chain is not checked.
        """
        head = await self.head(also_of_standby=True)
        end = head.position if to is None else min(to, head.position)
        # First, and once for all: what has expired by then is not kept meanwhile, and
        # the database takes long to write a time for each.
        if end:
            state.reach(await self._recorded_at(end))
        with gc_paused():
            await self._replay(Replay(self._pool, self.name, state, 0), state, end)
        return end

    async def _recorded_at(self, position: int) -> datetime:
        rows = await self._read(
            f"SELECT recorded_at FROM {self.name}.events WHERE position = $1",  # noqa: S608
            position,
        )
        if not rows:
            raise UnreadableEvent(f"event {position} is missing")
        recorded_at: datetime = rows[0]["recorded_at"]
        return recorded_at

    async def _replay(self, reading: Replay, state: Replayable, end: int) -> None:
        tries = READ_TRIES
        while (before := reading.position) < end:
            try:
                await reading.read(end)
            except OddLines as odd:
                for recorded in await self.read_after(
                    reading.position, limit=odd.count
                ):
                    reading.expect(recorded.position)
                    state.apply(recorded)
                    reading.position = recorded.position
            except (*LOST, *UNDONE) as error:
                tries -= 1
                if not tries or reading.position != before:
                    raise LogUnavailable("the log cannot be read") from error

    async def verify(self, *, on_progress: Callable[[int], object] = int) -> Head:
        """Check the whole chain against the head, or raise `chain.ChainBroken`.

        `on_progress` is told after each page how many events it held.
        """
        head = await self.head(also_of_standby=True)
        chain = Chain(self.name)
        async for page in self.pages():
            chain.verify(
                recorded for recorded in page if recorded.position <= head.position
            )
            on_progress(len(page))
        chain.verify_head(head.position, head.hash)
        return head

    async def _read_events(self, where: str, *arguments: object) -> list[RecordedEvent]:
        rows = await self._read(
            "SELECT position, stream, version, type, data, metadata, recorded_at,"  # noqa: S608
            f" hash FROM {self.name}.events {where}",
            *arguments,
        )
        return [recorded_event(row) for row in rows]

    async def _read(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        for attempt in range(1, READ_TRIES + 1):
            try:
                return await self._pool.fetch(query, *arguments)
            except (*LOST, *UNDONE) as error:
                if attempt == READ_TRIES or isinstance(error, TimeoutError):
                    raise LogUnavailable("the log cannot be read") from error
        raise AssertionError


def recorded_event(row: asyncpg.Record) -> RecordedEvent:
    """A row of `events` as the event it is."""
    return RecordedEvent(
        position=row["position"],
        stream=row["stream"],
        version=row["version"],
        type=row["type"],
        recorded_at=row["recorded_at"],
        hash=row["hash"].hex(),
        data=msgspec.Raw(row["data"].encode()),
        metadata=msgspec.Raw(row["metadata"].encode()),
    )


@asynccontextmanager
async def open_event_log(
    name: str, pool: Pool, url: str, *, application_name: str = "tollgate"
) -> AsyncIterator[EventLog]:
    """The log in schema `name`: read through `pool`, appended to beside it."""
    committer = GroupCommitter(url, name, application_name)
    async with running(*(committer.run() for _ in range(CALLS_IN_FLIGHT))):
        yield EventLog(name, pool, committer)
