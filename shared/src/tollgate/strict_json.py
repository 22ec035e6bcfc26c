"""JSON that cannot be read in two ways.

`msgspec` decodes to types, fast, but takes the last of two members of one name and
does not look at the bytes of what it skips. Whoever decides something by a document
from outside asks here as well.
"""

import json
from collections.abc import Callable
from typing import TypeVar

import msgspec

T = TypeVar("T")


class AmbiguousJson(ValueError):
    """Not JSON, or JSON that another reader may take for something else."""


def decode_strictly(document: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """What `document` says, as the type of `decoder`.

    Raises `AmbiguousJson`, or `msgspec.ValidationError` if it is sound JSON of another
    shape; the text of the latter may quote the document.
    """
    refuse_ambiguous(document)
    try:
        return decoder.decode(document)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError):
        raise AmbiguousJson("not JSON") from None


def is_plain(document: bytes) -> bool:
    """Whether it comes out of msgspec as it went in, member for member.

    Then it is JSON without a member twice and nothing in it is overlooked. False is no
    answer: spaces are enough for it.
    """
    try:
        return _encode(_decode_anything(document)) == document
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False


def refuse_ambiguous(document: bytes) -> None:
    """Insist on UTF-8 without a BOM, on one member a name, and on JSON's numbers.

    A lone surrogate passes here, and nowhere in `msgspec`.
    """
    try:
        _decode(document.decode())
    except AmbiguousJson:
        raise
    except UnicodeDecodeError:
        raise AmbiguousJson("not UTF-8") from None
    except RecursionError:
        raise AmbiguousJson("nested too deeply") from None
    except ValueError:
        raise AmbiguousJson("not JSON") from None


def _distinct(members: list[tuple[str, object]]) -> dict[str, object]:
    distinct = dict(members)
    if len(distinct) != len(members):
        raise AmbiguousJson("a member name is repeated")
    return distinct


def _no_constant(_: str) -> object:
    raise AmbiguousJson("NaN and Infinity are not JSON")


_decode: Callable[[str], object] = json.JSONDecoder(
    object_pairs_hook=_distinct, parse_constant=_no_constant
).decode

_decode_anything = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
