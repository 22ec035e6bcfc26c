"""What is appended together, and how a call's groups become the arguments of `append`.

See `migrations/0002_append.sql` for the meaning of each array.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from tollgate.eventlog.chain import event_digest
from tollgate.events import Event, EventMetadata, encode
from tollgate.events.recorded import tag_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """A client assertion to use up: it works once for its client."""

    client_id: str
    jti: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendGroup:
    """Events that are recorded all or not at all, and what must hold for it.

    `expected` names the version that each stream the decision relied on must still
    have; it may name streams that get no event, and 0 means that there is none yet. An
    event's stream that is not named takes the next version, whatever it is. With a
    `command_id` the group is recorded once, however often it is tried.
    """

    events: Sequence[tuple[str, Event]] = ()
    expected: Mapping[str, int] = field(default_factory=dict)
    metadata: EventMetadata = field(default_factory=EventMetadata)
    command_id: str | None = None
    spend: Spend | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """Where the events stand: positions `first` to `last`; None if there were none."""

    first: int | None
    last: int | None


class EncodedGroup(msgspec.Struct, frozen=True):
    """A group with everything computed that needs no lock."""

    group: AppendGroup
    events: list[tuple[str, str, str, str, bytes]]
    """stream, type, data, metadata, digest"""


def encode_group(group: AppendGroup) -> EncodedGroup:
    """Serialise and digest `group`, outside the lock."""
    metadata = encode(group.metadata)
    metadata_digest = hashlib.sha256(metadata).digest()
    metadata_text = metadata.decode()
    events = []
    for stream, event in group.events:
        event_type = tag_of(type(event))
        data = encode(event)
        digest = event_digest(
            stream, event_type, hashlib.sha256(data).digest(), metadata_digest
        )
        events.append((stream, event_type, data.decode(), metadata_text, digest))
    return EncodedGroup(group, events)


def arguments_of(groups: Sequence[EncodedGroup]) -> list[Any]:
    """The arguments of the SQL function `append` for these groups, in order."""
    slots: dict[str, int] = {}

    def slot_of(stream: str) -> int:
        return slots.setdefault(stream, len(slots) + 1)

    expectations: list[tuple[int, int, int]] = []
    events: list[tuple[int, int, str, str, str, bytes]] = []
    for number, encoded in enumerate(groups, start=1):
        expectations.extend(
            (number, slot_of(stream), version)
            for stream, version in encoded.group.expected.items()
        )
        events.extend(
            (number, slot_of(stream), event_type, data, metadata, digest)
            for stream, event_type, data, metadata, digest in encoded.events
        )
    spends = [encoded.group.spend for encoded in groups]
    return [
        list(slots),
        *_columns(expectations, 3),
        *_columns(events, 6),
        [encoded.group.command_id for encoded in groups],
        [spend.client_id if spend else None for spend in spends],
        [spend.jti if spend else None for spend in spends],
        [spend.expires_at if spend else None for spend in spends],
    ]


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[column] for row in rows] for column in range(width)]
