"""A log in a list, with a true hash chain, that can be put back, hidden and damaged."""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec.structs import replace

from tollgate.eventlog.chain import genesis, link
from tollgate.events import Event, EventMetadata, RecordedEvent, encode
from tollgate.events.recorded import tag_of
from tollgate.messaging.messages import withheld
from tollgate.messaging.source import LogDiverged, LogHead, Page, SourceUnavailable

START = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryLog:
    """Also a `LogSource` for whole rows; `as_withheld` is one for the others.

    `down` makes reads fail, `hanging` makes them wait until it is cleared. `reads`
    counts the pages asked for.
    """

    def __init__(
        self,
        name: str = "registry",
        *,
        whole: bool = True,
        max_age: timedelta = timedelta(seconds=300),
    ) -> None:
        self.log = name
        self.whole = whole
        self.max_age = max_age
        self.events: list[RecordedEvent] = []
        self.down = False
        self.answering = asyncio.Event()
        self.answering.set()
        self.reads = 0
        self.on_read: Callable[[], None] = lambda: None
        self._versions: dict[str, int] = {}
        self._grown = asyncio.Event()

    @property
    def head(self) -> LogHead:
        return LogHead(len(self.events), self.hash_at(len(self.events)))

    def hash_at(self, position: int) -> bytes:
        if position == 0:
            return genesis(self.log)
        return bytes.fromhex(self.events[position - 1].hash)

    def append(self, stream: str, *facts: Event) -> list[RecordedEvent]:
        """Record `facts` on `stream`."""
        return [
            self.append_raw(stream, tag_of(type(fact)), encode(fact)) for fact in facts
        ]

    def append_raw(self, stream: str, event_type: str, data: bytes) -> RecordedEvent:
        """Record anything, also what no version of ours knows."""
        version = self._versions[stream] = self._versions.get(stream, 0) + 1
        position = len(self.events) + 1
        unlinked = RecordedEvent(
            position=position,
            stream=stream,
            version=version,
            type=event_type,
            recorded_at=START + timedelta(seconds=position),
            hash="",
            data=msgspec.Raw(data),
            metadata=msgspec.Raw(
                encode(EventMetadata(request_id=f"request-{position}"))
            ),
        )
        recorded = replace(unlinked, hash=link(self.head.hash, unlinked).hex())
        self.events.append(recorded)
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
        return recorded

    def put_back(self, position: int) -> None:
        """Forget everything after `position`, as a restored backup does."""
        del self.events[position:]
        self._versions = {}
        for recorded in self.events:
            self._versions[recorded.stream] = recorded.version

    def damage(self, position: int) -> None:
        """Change the data of an event behind the back of the chain."""
        old = self.events[position - 1]
        changed = hashlib.sha256(old.digest_of_data()).hexdigest()
        self.events[position - 1] = replace(
            old, data=msgspec.Raw(f'"{changed}"'.encode())
        )

    async def read_after(
        self,
        position: int,
        last: bytes | None,
        *,
        limit: int,
        wait: timedelta = timedelta(0),
    ) -> Page:
        self.reads += 1
        self.on_read()
        await self.answering.wait()
        if position == len(self.events) and wait:
            grown = self._grown
            try:
                async with asyncio.timeout(wait.total_seconds()):
                    await grown.wait()
            except TimeoutError:
                pass
        if self.down:
            raise SourceUnavailable("down")
        if position > len(self.events):
            raise LogDiverged("beyond the head")
        if last is not None and last != self.hash_at(position):
            raise LogDiverged("another event")
        page = self.events[position : position + limit]
        return Page(
            page if self.whole else [withheld(recorded) for recorded in page],
            self.head,
            self.max_age,
        )
