"""The hash chain of a log: how each event's hash is made, and how it is checked.

    hash = SHA-256( previous hash · position · version · recorded_at · digest )

with position and recorded_at (microseconds since the epoch) as 8 and version as 4
bytes, big-endian, and

    digest = SHA-256( length · stream · length · type
                      · SHA-256(data) · SHA-256(metadata) )

with lengths of 4 bytes. Data and metadata enter as digests, so that an event can be
passed on without them and the chain still checks.
"""

import hashlib
import struct
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from tollgate.events import RecordedEvent

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_PLACE = struct.Struct(">qiq")
_LENGTH = struct.Struct(">I")


class ChainBroken(Exception):
    """The log is not what was written. `position` is the first place that is wrong."""

    def __init__(self, position: int, what: str) -> None:
        super().__init__(f"at position {position}: {what}")
        self.position = position
        self.what = what


def genesis(log: str) -> bytes:
    """The hash before the first event: it binds the chain to the name of the log."""
    return hashlib.sha256(f"tollgate log {log}".encode()).digest()


def event_digest(
    stream: str, event_type: str, data_digest: bytes, metadata_digest: bytes
) -> bytes:
    """What of an event enters the chain, apart from its place in it (32 bytes)."""
    name = stream.encode()
    return hashlib.sha256(
        _LENGTH.pack(len(name))
        + name
        + _length_and_text(event_type)
        + data_digest
        + metadata_digest
    ).digest()


@lru_cache(maxsize=1024)
def _length_and_text(event_type: str) -> bytes:
    """The same few tags come again and again."""
    encoded = event_type.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def link(previous: bytes, recorded: RecordedEvent) -> bytes:
    """The hash that `recorded` must have after an event with the hash `previous`."""
    place = _PLACE.pack(
        recorded.position,
        recorded.version,
        (recorded.recorded_at - EPOCH) // MICROSECOND,
    )
    digest = event_digest(
        recorded.stream,
        recorded.type,
        recorded.digest_of_data(),
        recorded.digest_of_metadata(),
    )
    return hashlib.sha256(previous + place + digest).digest()


class Chain:
    """Checks events one after another from a known place in the log."""

    def __init__(self, log: str, position: int = 0, last: bytes | None = None) -> None:
        self.log = log
        self.position = position
        self.hash = genesis(log) if last is None else last

    def verify(self, events: Iterable[RecordedEvent]) -> None:
        """Take each event as the next; raise `ChainBroken` at the first wrong one."""
        for recorded in events:
            if recorded.position != self.position + 1:
                raise ChainBroken(self.position + 1, "the event is missing")
            expected = link(self.hash, recorded)
            if expected.hex() != recorded.hash:
                raise ChainBroken(
                    recorded.position, "the event or its hash was changed"
                )
            self.position, self.hash = recorded.position, expected

    def verify_head(self, position: int, last: bytes) -> None:
        """The log ends here: its head row must say the same."""
        if position > self.position:
            raise ChainBroken(self.position + 1, "events at the end are missing")
        if position < self.position or last != self.hash:
            raise ChainBroken(position, "the head is not that of the last event")
