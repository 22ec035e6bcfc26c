"""A state as lines of JSON, each of a bounded part of it.

A line is written and read at once; nobody ever holds the whole of a large state as
text. Together the lines say all, and their order is that of the state.
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

T = TypeVar("T")

PART = 1_000
"""Entities in one line: a millisecond of encoding."""


def in_parts(entities: Iterable[T]) -> Iterator[list[T]]:
    """`entities` in lists of `PART`, the last one shorter; none if there are none."""
    rest = iter(entities)
    while part := list(islice(rest, PART)):
        yield part


def shape_of(part: Any) -> str:  # noqa: ANN401 - a type, or a union of some
    """Names what lines of these types say where: SHA-256 in hex.

    Entities are written as arrays, which do not name their members. Lines that were
    written by a version with other members, or in another order, must not be read.
    """
    members: dict[str, tuple[str, ...]] = {}
    _note_members(inspect.type_info(part), members)
    described = (
        sorted(members.items()),
        msgspec.json.schema(part, schema_hook=_own_type),
    )
    return hashlib.sha256(
        msgspec.json.encode(described, order="deterministic")
    ).hexdigest()


def _own_type(kind: type) -> dict[str, str]:
    """What a schema says of a type that only its hook can read."""
    return {"title": kind.__qualname__}


def _note_members(kind: inspect.Type, members: dict[str, tuple[str, ...]]) -> None:
    match kind:
        case inspect.StructType(cls=cls, fields=fields):
            if cls.__qualname__ not in members:
                members[cls.__qualname__] = tuple(field.name for field in fields)
                for field in fields:
                    _note_members(field.type, members)
        case inspect.UnionType(types=kinds) | inspect.TupleType(item_types=kinds):
            for each in kinds:
                _note_members(each, members)
        case inspect.CollectionType(item_type=item):
            _note_members(item, members)
        case inspect.DictType(key_type=key, value_type=value):
            _note_members(key, members)
            _note_members(value, members)
        case _:
            pass  # a plain value: the schema says all of it
