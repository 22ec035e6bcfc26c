"""What is appended together, and how a call's groups become the arguments of `append`.

See `migrations/0004_append_groups.sql` for the meaning of each array.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

from tollgate.eventlog.chain import event_digest
from tollgate.events import Event, EventMetadata, encode
from tollgate.events.recorded import tag_of

UNMEETABLE = -1
"""A version that no stream has: two groups of a call contradict each other."""


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
    metadata_digest = sha256(metadata).digest()
    types: list[str] = []
    data: list[bytes] = []
    digests: list[bytes] = []
    for stream, event in group.events:
        event_type = tag_of(type(event))
        encoded = encode(event)
        types.append(event_type)
        data.append(encoded)
        digests.append(
            event_digest(stream, event_type, sha256(encoded).digest(), metadata_digest)
        )
    return EncodedGroup(group, types, data, digests, metadata)


def call_of(schema: str) -> str:
    """The call of `append_groups` in that log, for `arguments_of`.

    The last four are arrays written as text, too: asyncpg looks at each element of a
    list several times.
    """
    return (
        f"SELECT * FROM {schema}.append_groups("  # noqa: S608 - a name of our own
        "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::text[],"
        " $12::text::text[], $13::text::text[], $14::text::timestamptz[])"
    )


def arguments_of(groups: Sequence[EncodedGroup]) -> list[Any]:
    """The arguments of the SQL function `append_groups` for these groups, in order.

    Raises `ValueError` if the name of a stream holds a line feed.
    """
    slots: dict[str, int] = {}
    written: list[int] = [0]  # events on each slot so far in this call; no slot 0
    foreseen: list[int | None] = [None]
    expectations: list[int] = []
    ends: list[int] = []
    event_slots: list[int] = []
    event_groups: list[int] = []
    types: list[str] = []
    data: list[bytes] = []
    digests: list[bytes] = []
    for number, encoded in enumerate(groups, start=1):
        group = encoded.group
        for stream, version in group.expected.items():
            slot = slots.get(stream) or _take_slot(slots, stream, written, foreseen)
            expectations += (number, slot, version)
            at_start = version - written[slot]
            if foreseen[slot] is None:
                foreseen[slot] = at_start
            elif foreseen[slot] != at_start:
                foreseen[slot] = UNMEETABLE
        for stream, _ in group.events:
            slot = slots.get(stream) or _take_slot(slots, stream, written, foreseen)
            written[slot] += 1
            event_slots.append(slot)
            event_groups.append(number)
        types += encoded.types
        data += encoded.data
        digests += encoded.digests
        ends.append(len(event_slots))
    spends = [encoded.group.spend for encoded in groups]
    return [
        _lines_of(slots),
        _array_of(foreseen[1:]),
        _array_of(ends),
        b"\n".join([encoded.metadata for encoded in groups]),
        _array_of(event_slots),
        _array_of(event_groups),
        "\n".join(types),
        b"\n".join(data),
        b"".join(digests),
        _array_of(expectations),
        _texts_of([encoded.group.command_id for encoded in groups]),
        _texts_of([spend.client_id if spend else None for spend in spends]),
        _texts_of([spend.jti if spend else None for spend in spends]),
        _moments_of([spend.expires_at if spend else None for spend in spends]),
    ]


def _take_slot(
    slots: dict[str, int], stream: str, written: list[int], foreseen: list[int | None]
) -> int:
    """The place of `stream` in the call, from 1; nothing is known of it yet."""
    slot = slots[stream] = len(written)
    written.append(0)
    foreseen.append(None)
    return slot


def _lines_of(streams: Collection[str]) -> str:
    lines = "\n".join(streams)
    if lines.count("\n") != max(len(streams) - 1, 0):
        raise ValueError("the name of a stream holds a line feed")
    return lines


def _array_of(numbers: Iterable[int | None]) -> str:
    """As PostgreSQL reads an array of integers from text."""
    return ("{" + ",".join(map(str, numbers)) + "}").replace("None", "NULL")


def _texts_of(column: list[str | None]) -> str | None:
    """As PostgreSQL reads an array of texts from text; None if there is nothing in it.

    Each stands between quotes, so that it is nothing but itself: a `jti` may hold any
    character.
    """
    texts = [text for text in column if text is not None]
    if not texts:
        return None
    if len(texts) == len(column):
        joined = '","'.join(texts)
        if "\\" not in joined and joined.count('"') == 2 * (len(texts) - 1):
            return f'{{"{joined}"}}'  # nothing in them to take for something else
    return "{" + ",".join([_quoted(text) for text in column]) + "}"


def _moments_of(column: list[datetime | None]) -> str | None:
    """As PostgreSQL reads an array of times from text; None if there is none in it.

    An array in JSON differs from that by its brackets alone.
    """
    if not any(column):
        return None
    return "{" + msgspec.json.encode(column)[1:-1].decode() + "}"


def _quoted(text: str | None) -> str:
    if text is None:
        return "NULL"
    return '"' + text.replace("\\", r"\\").replace('"', r"\"") + '"'
