"""What happened in a workspace: three logs told as one story, in the order of time.

The registry log comes from the database, the tokens and issuance logs page by page
through the issuer's feed. Nothing is copied. A page looks at a bounded number of events
and goes on where it stopped: positions have no gaps, so a place in each log is enough.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

import msgspec

from app_registry.directory import Directory
from tollgate.errors import Unavailable
from tollgate.eventlog import EventLog, LogUnavailable
from tollgate.events import EventMetadata, RecordedEvent
from tollgate.events.registry import WriteKeyClaimed, registry_decoder
from tollgate.messaging.feed_client import FeedClient
from tollgate.messaging.source import LogDiverged, Page, SourceUnavailable
from tollgate.registry.streams import source_stream

SCAN_LIMIT = 5_000
"""Events that one page looks at, found to match or not."""

READ = 500
"""Events read of a log at a time."""


class AuditLog(Protocol):
    """A log as the audit reads it: whole events, in order. All raise `Unavailable`."""

    @property
    def name(self) -> str: ...

    async def head(self) -> int:
        """The last position there is."""

    async def read_after(self, position: int, limit: int) -> Sequence[RecordedEvent]:
        """At most `limit` events that follow `position`; none at the end only."""

    async def read_before(self, position: int, limit: int) -> Sequence[RecordedEvent]:
        """At most `limit` events up to the one before `position`; none at the start
        only."""


class OwnLog:
    """The registry log, from the database."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.name = log.name

    async def head(self) -> int:
        with _own_trouble():
            return (await self._log.head()).position

    async def read_after(self, position: int, limit: int) -> Sequence[RecordedEvent]:
        with _own_trouble():
            return await self._log.read_after(position, limit=limit)

    async def read_before(self, position: int, limit: int) -> Sequence[RecordedEvent]:
        return await _read_window(self, position, limit)

    async def stream(self, name: str) -> "OneStream":
        """The events of one stream, found by index."""
        with _own_trouble():
            return OneStream(self.name, await self._log.load(name))


class IssuerLog:
    """A log of the token-issuer, through its feed."""

    def __init__(self, feed: FeedClient) -> None:
        self._feed = feed
        self.name = feed.log

    async def head(self) -> int:
        return (await self._page(0, 1)).head.position

    async def read_after(self, position: int, limit: int) -> Sequence[RecordedEvent]:
        try:
            return (await self._page(position, limit)).events
        except LogDiverged:
            return []  # it ends before that place: it was put back

    async def read_before(self, position: int, limit: int) -> Sequence[RecordedEvent]:
        return await _read_window(self, position, limit)

    async def _page(self, position: int, limit: int) -> Page:
        try:
            return await self._feed.read_after(position, None, limit=limit)
        except SourceUnavailable as error:
            raise Unavailable(
                f"the {self.name} log cannot be read from the token-issuer now:"
                " log=registry asks for the registry alone"
            ) from error


class OneStream:
    """Events that were read already, all of one stream of a log."""

    def __init__(self, name: str, events: Sequence[RecordedEvent]) -> None:
        self.name = name
        self._events = events

    async def head(self) -> int:
        return self._events[-1].position if self._events else 0

    async def read_after(self, position: int, limit: int) -> Sequence[RecordedEvent]:
        later = [each for each in self._events if each.position > position]
        return later[:limit]

    async def read_before(self, position: int, limit: int) -> Sequence[RecordedEvent]:
        return [each for each in self._events if each.position < position][-limit:]


async def _read_window(
    log: OwnLog | IssuerLog, position: int, limit: int
) -> Sequence[RecordedEvent]:
    """`read_before` of a log whose positions have no gaps, but that may begin late."""
    place, read = max(0, position - 1 - limit), list[RecordedEvent]()
    while place < position - 1:
        events = await log.read_after(place, position - 1 - place)
        earlier = [each for each in events if each.position < position]
        if not earlier:
            break
        read.extend(earlier)
        place = earlier[-1].position
    return read


@contextmanager
def _own_trouble() -> Iterator[None]:
    try:
        yield
    except LogUnavailable as error:
        raise Unavailable("the registry log cannot be read now") from error


class Criteria(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are wanted; what is None does not matter.

    `since` is included, `until` is not. `actor` and `stream` are names of streams.
    """

    workspace_id: str
    logs: frozenset[str]
    since: datetime | None = None
    until: datetime | None = None
    type: str | None = None
    actor: str | None = None
    stream: str | None = None
    newest_first: bool = False


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded event of one of the logs, with what is known of who was behind it."""

    log: str
    recorded: RecordedEvent
    metadata: EventMetadata


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, and the places in the logs to go on from; None at the end."""

    events: Sequence[AuditEvent]
    places: Mapping[str, int] | None


class Audit:
    """Reads the logs of all workspaces for the owners of one."""

    def __init__(self, logs: Sequence[AuditLog]) -> None:
        self._logs = logs

    async def page(
        self,
        criteria: Criteria,
        directory: Directory,
        *,
        limit: int,
        places: Mapping[str, int] | None = None,
    ) -> AuditPage:
        """Up to `limit` events from `places` on, or from where the criteria begin."""
        cursors = [
            await _Cursor.open(log, criteria, (places or {}).get(log.name))
            for log in await self._chosen(criteria)
        ]
        found: list[AuditEvent] = []
        for _ in range(SCAN_LIMIT):
            if len(found) == limit:
                break
            cursor = await _next_of(cursors, newest_first=criteria.newest_first)
            if cursor is None:
                return AuditPage(events=found, places=None)
            event = cursor.take()
            if _matches(event, criteria, directory):
                found.append(event)
        if await _next_of(cursors, newest_first=criteria.newest_first) is None:
            return AuditPage(events=found, places=None)
        return AuditPage(
            events=found, places={cursor.name: cursor.place for cursor in cursors}
        )

    async def _chosen(self, criteria: Criteria) -> Sequence[AuditLog]:
        chosen: list[AuditLog] = []
        for log in self._logs:
            if log.name not in criteria.logs:
                continue
            if isinstance(log, OwnLog) and criteria.stream is not None:
                chosen.append(await log.stream(criteria.stream))
            else:
                chosen.append(log)
        return chosen


class _Cursor:
    """One log, read forwards or backwards from a place.

    `place` is the position of the last event taken, or of the one before the first
    that can be: the next is after it, or before it if the newest come first.
    """

    def __init__(self, log: AuditLog, criteria: Criteria, place: int) -> None:
        self.name = log.name
        self.place = place
        self._log = log
        self._criteria = criteria
        self._read: list[RecordedEvent] = []
        self._ended = False

    @classmethod
    async def open(
        cls, log: AuditLog, criteria: Criteria, place: int | None
    ) -> "_Cursor":
        if place is None and criteria.newest_first:
            place = await _first_since(log, criteria.until)
        elif place is None:
            begin = criteria.since
            place = 0 if begin is None else await _first_since(log, begin) - 1
        return cls(log, criteria, place)

    async def peek(self) -> RecordedEvent | None:
        """The next event; None at the end."""
        if not self._read and not self._ended:
            await self._fill()
        return self._read[-1] if self._read else None

    def take(self) -> AuditEvent:
        """The event that `peek` has shown; it is passed."""
        recorded = self._read.pop()
        self.place = recorded.position
        metadata = EventMetadata()
        if recorded.metadata is not None:
            metadata = msgspec.json.decode(recorded.metadata, type=EventMetadata)
        return AuditEvent(log=self.name, recorded=recorded, metadata=metadata)

    async def _fill(self) -> None:
        """Read on; what is read is kept in reverse, so that the next is the last."""
        since, until = self._criteria.since, self._criteria.until
        if self._criteria.newest_first:
            events = await self._log.read_before(self.place, READ)
            fits = [each for each in events if not since or each.recorded_at >= since]
            self._read = fits
        else:
            events = await self._log.read_after(self.place, READ)
            fits = [each for each in events if not until or each.recorded_at < until]
            self._read = fits[::-1]
        self._ended = not events or len(fits) < len(events)


async def _next_of(cursors: Sequence[_Cursor], *, newest_first: bool) -> _Cursor | None:
    """The cursor whose event comes next in time; equal times go by log."""
    chosen, best = None, None
    for cursor in cursors:
        recorded = await cursor.peek()
        if recorded is None:
            continue
        sooner = best is None or (
            recorded.recorded_at > best if newest_first else recorded.recorded_at < best
        )
        if sooner:
            chosen, best = cursor, recorded.recorded_at
    return chosen


async def _first_since(log: AuditLog, moment: datetime | None) -> int:
    """The position of the first event at or after `moment`, or after the last one.

    By bisection: no event has an earlier time than the one before it.
    """
    lowest, highest = 1, await log.head() + 1
    if moment is None:
        return highest
    while lowest < highest:
        middle = (lowest + highest) // 2
        events = await log.read_after(middle - 1, 1)
        if not events or events[0].recorded_at >= moment:
            highest = middle
        else:
            lowest = max(middle, events[0].position) + 1
    return lowest


def _matches(event: AuditEvent, criteria: Criteria, directory: Directory) -> bool:
    recorded = event.recorded
    if criteria.stream is not None and recorded.stream != criteria.stream:
        return False
    if criteria.type is not None and recorded.type != criteria.type:
        return False
    if criteria.actor is not None and event.metadata.actor != criteria.actor:
        return False
    return _workspace_of(recorded, directory) == criteria.workspace_id


def _workspace_of(recorded: RecordedEvent, directory: Directory) -> str | None:
    """Whose business it is. A signing key of the issuer is no workspace's."""
    if recorded.category == "write_key":
        claimed = registry_decoder.decode(recorded)
        if isinstance(claimed, WriteKeyClaimed):
            return directory.workspace_of(source_stream(claimed.source_id))
        return None
    return directory.workspace_of(recorded.stream)
