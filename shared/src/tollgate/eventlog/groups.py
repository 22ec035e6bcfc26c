"""What is appended together, and how a call's groups become the arguments of `append`.

See `migrations/0002_append.sql` for the meaning of each array.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from tollgate.eventlog.chain import event_digest
from tollgate.events import Event, EventMetadata, encode
from tollgate.events.recorded import tag_of

T = TypeVar("T")


class Spend(msgspec.Struct, frozen=True, kw_only=True):
    """A client assertion to use up: it works once for its client."""

    client_id: str
    jti: str
    expires_at: datetime


class AppendGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Events that are recorded all or not at all, and what must hold for it.

    `expected` names the version that each stream the decision relied on must still
    have; it may name streams that get no event, and 0 means that there is none yet. An
    event's stream that is not named takes the next version, whatever it is. With a
    `command_id` the group is recorded once, however often it is tried.
    """

    events: Sequence[tuple[str, Event]] = ()
    expected: Mapping[str, int] = {}
    metadata: EventMetadata = EventMetadata()
    command_id: str | None = None
    spend: Spend | None = None


class Appended(msgspec.Struct, frozen=True):
    """Where the events stand: positions `first` to `last`; None if there were none."""

    first: int | None
    last: int | None


class EncodedGroup(msgspec.Struct, frozen=True):
    """A group with everything computed that needs no lock."""

    group: AppendGroup
    types: list[str]
    data: list[bytes]
    digests: list[bytes]
    metadata: bytes


def encode_group(group: AppendGroup) -> EncodedGroup:
    """Serialise and digest `group`, outside the lock."""
    metadata = encode(group.metadata)
    metadata_digest = hashlib.sha256(metadata).digest()
    types: list[str] = []
    data: list[bytes] = []
    digests: list[bytes] = []
    for stream, event in group.events:
        event_type = tag_of(type(event))
        encoded = encode(event)
        types.append(event_type)
        data.append(encoded)
        digests.append(
            event_digest(
                stream, event_type, hashlib.sha256(encoded).digest(), metadata_digest
            )
        )
    return EncodedGroup(group, types, data, digests, metadata)


def arguments_of(groups: Sequence[EncodedGroup]) -> list[Any]:
    """The arguments of the SQL function `append` for these groups, in order.

    Raises `ValueError` if the name of a stream holds a line feed.
    """
    slots: dict[str, int] = {}
    expectation_slots: list[int] = []
    expectation_versions: list[int] = []
    event_slots: list[int] = []
    types: list[str] = []
    data: list[bytes] = []
    digests: list[bytes] = []
    for encoded in groups:
        for stream, version in encoded.group.expected.items():
            expectation_slots.append(slots.setdefault(stream, len(slots) + 1))
            expectation_versions.append(version)
        for stream, _ in encoded.group.events:
            event_slots.append(slots.setdefault(stream, len(slots) + 1))
        types += encoded.types
        data += encoded.data
        digests += encoded.digests
    spends = [encoded.group.spend for encoded in groups]
    return [
        _lines_of(slots),
        _array_of(len(encoded.group.expected) for encoded in groups),
        _array_of(expectation_slots),
        _array_of(expectation_versions),
        _array_of(len(encoded.data) for encoded in groups),
        _array_of(event_slots),
        "\n".join(types),
        b"\n".join(data),
        b"".join(digests),
        b"\n".join([encoded.metadata for encoded in groups]),
        _or_none([encoded.group.command_id for encoded in groups]),
        _or_none([spend.client_id if spend else None for spend in spends]),
        _or_none([spend.jti if spend else None for spend in spends]),
        _or_none([spend.expires_at if spend else None for spend in spends]),
    ]


def _lines_of(streams: Collection[str]) -> str:
    lines = "\n".join(streams)
    if lines.count("\n") != max(len(streams) - 1, 0):
        raise ValueError("the name of a stream holds a line feed")
    return lines


def _array_of(numbers: Iterable[int]) -> str:
    """As PostgreSQL reads an array of integers from text."""
    return "{" + ",".join(map(str, numbers)) + "}"


def _or_none(column: list[T | None]) -> list[T | None] | None:
    return column if any(each is not None for each in column) else None
