"""Events as bytes: NDJSON, in the body of a broker message or of a feed page.

A message holds consecutive events of one log, never whole: data of members and access
tokens, and all metadata, travel as digests only (DESIGN 4).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import msgspec

from tollgate.events import RecordedEvent
from tollgate.events.registry import WITHHELD_CATEGORIES

MAX_EVENTS = 200
"""Events in one message."""

MAX_ENCODED = 512 * 1024
"""Bytes from which on a message takes no further event."""

MAX_BODY = 4 * 1024 * 1024
"""Bytes of a message that is read at all."""

CONTENT_TYPE = "application/x-ndjson"

_HASH_LENGTH = 32
_ABSENT = msgspec.Raw(b"")


class _Line(msgspec.Struct, frozen=True):
    """A `RecordedEvent` as it is read: msgspec knows no `Raw | None`."""

    position: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    stream: str
    version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    type: str
    recorded_at: Annotated[datetime, msgspec.Meta(tz=True)]
    hash: str
    data: msgspec.Raw = _ABSENT
    metadata: msgspec.Raw = _ABSENT
    data_digest: str | None = None
    metadata_digest: str | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Line)


class UnreadableMessage(Exception):
    """Bytes that are no message of this log; the feed has the events."""


@dataclass(frozen=True, slots=True)
class EventMessage:
    """Consecutive events of one log, at least one; `hash_before` is where they start.

    The events are checked to be consecutive, not to follow from `hash_before`.
    """

    log: str
    hash_before: bytes
    events: Sequence[RecordedEvent]

    @property
    def first(self) -> int:
        return self.events[0].position

    @property
    def last(self) -> int:
        return self.events[-1].position

    @property
    def routing_key(self) -> str:
        return self.events[0].type


def messages_of(
    log: str,
    hash_before: bytes,
    events: Sequence[RecordedEvent],
    at_most: int = MAX_EVENTS,
) -> Iterator[tuple[EventMessage, bytes]]:
    """`events`, which follow `hash_before`, as messages and their bodies, in order.

    A message holds `at_most` of them.
    """
    batch: list[RecordedEvent] = []
    lines: list[bytes] = []
    size = 0
    for recorded in events:
        line = _encoder.encode(withheld(recorded)) + b"\n"
        if batch and (len(batch) == at_most or size + len(line) > MAX_ENCODED):
            yield EventMessage(log, hash_before, batch), b"".join(lines)
            hash_before = bytes.fromhex(batch[-1].hash)
            batch, lines, size = [], [], 0
        batch.append(recorded)
        lines.append(line)
        size += len(line)
    if batch:
        yield EventMessage(log, hash_before, batch), b"".join(lines)


def headers_of(message: EventMessage) -> dict[str, str | int]:
    """The headers of the message on the broker."""
    return {
        "log": message.log,
        "first": message.first,
        "last": message.last,
        "hash_before": message.hash_before.hex(),
    }


def decode_message(
    log: str, headers: Mapping[str, object], body: bytes
) -> EventMessage:
    """The message that `messages_of` made, or raise `UnreadableMessage`."""
    if headers.get("log") != log:
        raise UnreadableMessage("the message is of another log")
    if len(body) > MAX_BODY:
        raise UnreadableMessage("too many bytes")
    events = decode_lines(body)
    if not 1 <= len(events) <= MAX_EVENTS:
        raise UnreadableMessage(f"{len(events)} events in one message")
    first, last = events[0].position, events[-1].position
    if headers.get("first") != first or headers.get("last") != last:
        raise UnreadableMessage("the headers name other events")
    if last - first + 1 != len(events):
        raise UnreadableMessage("the events are not consecutive")
    return EventMessage(log, _hash_of(headers.get("hash_before")), events)


def withheld(recorded: RecordedEvent) -> RecordedEvent:
    """`recorded` as it may be told to those who do not authorise administrators."""
    return recorded.withholding(data=recorded.category in WITHHELD_CATEGORIES)


def encode_lines(events: Sequence[RecordedEvent]) -> bytes:
    """One line of JSON an event, as they are: withhold first."""
    return _encoder.encode_lines(events)


def decode_lines(body: bytes) -> list[RecordedEvent]:
    """The events of NDJSON in rising order, or raise `UnreadableMessage`."""
    try:
        lines = _decoder.decode_lines(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise UnreadableMessage("not NDJSON of events") from error
    previous = 0
    for line in lines:
        if line.position <= previous:
            raise UnreadableMessage("positions do not rise")
        previous = line.position
    return [_event_of(line) for line in lines]


def _event_of(line: _Line) -> RecordedEvent:
    return RecordedEvent(
        position=line.position,
        stream=line.stream,
        version=line.version,
        type=line.type,
        recorded_at=line.recorded_at,
        hash=line.hash,
        data=None if line.data is _ABSENT else line.data,
        metadata=None if line.metadata is _ABSENT else line.metadata,
        data_digest=line.data_digest,
        metadata_digest=line.metadata_digest,
    )


def _hash_of(header: object) -> bytes:
    try:
        value = bytes.fromhex(header) if isinstance(header, str) else b""
    except ValueError as error:
        raise UnreadableMessage("hash_before is not hex") from error
    if len(value) != _HASH_LENGTH:
        raise UnreadableMessage("hash_before is not a hash")
    return value
