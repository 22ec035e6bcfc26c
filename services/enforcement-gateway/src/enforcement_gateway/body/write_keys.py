"""Every write key that a JSON body names, or a refusal to guess.

The gateway and the tracking API must not read different keys. Python takes the last of
two members of one name, Go matches names without regard to case, and each language has
its own idea of case. So a member that any of them could take for `writeKey` or `batch`
must be spelt exactly so, in these very bytes, and stand once; else the body cannot be
read. The same goes for what JSON parsers disagree about: a BOM, NaN, other encodings.

`read_write_keys` is quick on the bodies that SDKs send, and hands the rest to
`read_write_keys_strictly`, which is the rule. A property test holds them together.
"""

import json
import re
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from enforcement_gateway.domain.denials import Reason, Refused

_KEY: Final = "writeKey"
_BATCH: Final = "batch"


def _spellings(name: str) -> frozenset[str]:
    """All that some reader takes for `name`: by case, and by the letters that fold.

    U+212A (kelvin) folds to k everywhere; U+0130 and U+0131 fold to i in Java.
    """
    folds = {"k": "kK\u212a", "i": "iI\u0130\u0131"}
    letters = (folds.get(letter, letter + letter.upper()) for letter in name.lower())
    return frozenset("".join(spelling) for spelling in product(*letters))


_KEYS: Final = _spellings(_KEY)
_BATCHES: Final = _spellings(_BATCH)
_SUSPECT: Final = _KEYS | _BATCHES


def unreadable() -> Refused:
    return Refused(Reason.BODY_UNREADABLE)


# --- The rule ---


def read_write_keys_strictly(body: bytes) -> tuple[str, ...]:
    """That of the body, then those of its events, each once; or `Refused`.

    The body is one UTF-8 JSON object without a BOM; `batch` is an array of objects;
    a key is a printable ASCII string. Only the top level and the events of `batch`
    are looked at: other members may have any name. A body of nothing but brackets is
    refused, because somebody wrote it to keep us busy.
    """
    if _is_absurd(body):
        raise unreadable()
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise unreadable() from None
    document = _parse(text, _parse_members)
    if _LETTER_ESCAPE(text):
        _refuse_escaped_names(text)
    keys = dict.fromkeys(_named_by(document, at_top=True))
    return tuple(keys)


MAX_CONTAINERS: Final = 50_000
MAX_MEMBERS: Final = 100_000


def _is_absurd(body: bytes) -> bool:
    """Whether there are more objects, arrays and members than any events have."""
    size = len(body)  # what is too short to hold so many need not be counted
    if size <= 2 * MAX_CONTAINERS:
        return False
    if body.count(b"{") + body.count(b"[") > MAX_CONTAINERS:
        return True
    return size > 5 * MAX_MEMBERS and body.count(b":") > MAX_MEMBERS


class _Suspects(list[tuple[str, Any]]):
    """The members of an object in which some name needs a second look."""


class _Plain:
    """An object that names neither a key nor a batch."""


_PLAIN: Final = _Plain()


def _members(pairs: list[tuple[str, Any]]) -> _Suspects | _Plain:
    return _PLAIN if _SUSPECT.isdisjoint(dict(pairs)) else _Suspects(pairs)


def _named_by(value: object, *, at_top: bool) -> Iterable[str]:
    """The keys of the body (`at_top`) or of one event in its batch."""
    if value is _PLAIN:
        return
    if not isinstance(value, _Suspects):
        raise unreadable()
    seen: set[str] = set()
    events: list[Any] = []
    for name, member in value:
        if name in _KEYS:
            exact = _KEY
        elif name in _BATCHES and at_top:
            exact = _BATCH
        else:
            continue
        if name != exact or name in seen:
            raise unreadable()
        seen.add(name)
        if exact is _KEY:
            yield _write_key(member)
        elif not isinstance(member, list) or isinstance(member, _Suspects):
            raise unreadable()
        else:
            events = member
    for event in events:
        yield from _named_by(event, at_top=False)


def _write_key(value: object) -> str:
    if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
        raise unreadable()
    return value


def _no_constant(_: str) -> object:
    raise unreadable()


def _parser(hook: Callable[[list[tuple[str, Any]]], object]) -> Callable[[str], object]:
    return json.JSONDecoder(
        object_pairs_hook=hook,
        parse_constant=_no_constant,
        parse_int=len,  # numbers of any length are JSON, and no concern of ours
        parse_float=len,
    ).decode


_parse_members: Final = _parser(_members)


def _parse(text: str, parser: Callable[[str], object]) -> object:
    try:
        return parser(text)
    except (ValueError, RecursionError):
        raise unreadable() from None


_LETTER_ESCAPE = re.compile(r"\\u(?:00[4-7]|212[aA]|013[01])").search
_ESCAPED = re.compile("\bu([0-9a-fA-F]{4})")


def _refuse_escaped_names(text: str) -> None:
    r"""Refuse a member whose name is `writeKey` or `batch` only once unescaped.

    Escapes are made to survive parsing: after the first two replacements a backslash
    starts an escape, none of which is `\b`, so that a U+0008 in a parsed name stands
    for a `\u`. What other escapes become does not matter: no name we look for has any.
    """
    visible = text.replace(r"\\", r"\f").replace(r"\b", r"\f").replace(r"\u", r"\bu")
    document = _parse(visible, _parse_escaped)
    if isinstance(document, _Suspects):
        _look_for_escapes(document, at_top=True)


def _escaped_members(pairs: list[tuple[str, Any]]) -> _Suspects | _Plain:
    """Keep what leads to a name that was escaped: the object, and the batch above."""
    for name, _ in pairs:
        if name in _BATCHES or _unescaped(name) in _SUSPECT:
            return _Suspects(pairs)
    return _PLAIN


_parse_escaped: Final = _parser(_escaped_members)


def _unescaped(name: str) -> str:
    if "\b" not in name:
        return ""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), name)


def _look_for_escapes(value: _Suspects, *, at_top: bool) -> None:
    for name, member in value:
        plain = _unescaped(name)
        if plain in _KEYS or (at_top and plain in _BATCHES):
            raise unreadable()
        if at_top and name in _BATCHES and isinstance(member, list):
            for event in member:
                if isinstance(event, _Suspects):
                    _look_for_escapes(event, at_top=False)


# --- The quick way ---


class _Event(msgspec.Struct, gc=False):
    writeKey: str | UnsetType = UNSET  # noqa: N815 - as on the wire


class _Body(msgspec.Struct, gc=False):
    writeKey: str | UnsetType = UNSET  # noqa: N815 - as on the wire
    batch: list[_Event] | UnsetType = UNSET


_decode = msgspec.json.Decoder(_Body).decode
_LETTER_ESCAPE_IN = re.compile(rb"\\u(?:00[4-7]|212[aA]|013[01])").search
_FOLDING: Final = tuple(letter.encode() for letter in "\u0130\u0131\u212a")


def read_write_keys(body: bytes) -> tuple[str, ...]:
    """As `read_write_keys_strictly`, and quick where there is nothing odd."""
    keys = read_write_keys_quickly(body)
    return read_write_keys_strictly(body) if keys is None else keys


def read_write_keys_quickly(body: bytes) -> tuple[str, ...] | None:
    """The keys, if no other reader can see others, or None for "ask the rule".

    msgspec checks the grammar and takes the members spelt exactly. If the body holds
    no more spellings of the two names than it took, no other member is one.
    """
    if _is_absurd(body):
        return None
    try:
        read = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    taken = batches = 0
    keys: tuple[str, ...] = ()
    if read.writeKey is not UNSET:
        taken = 1
        keys = (read.writeKey,)
    if read.batch is not UNSET:
        batches = 1
        for event in read.batch:
            key = event.writeKey
            if key is not UNSET:
                taken += 1
                if key not in keys:
                    keys = (*keys, key)
    if not holds_no_more(body, taken, batches):
        return None
    for key in keys:
        if not (key.isascii() and key.isprintable()):
            return None
    return keys


def holds_no_more_by_search(body: bytes, keys: int, batches: int) -> bool:
    """Whether some reader could find more names in a JSON text than were taken.

    True says that the octets hold so many spellings of `"writeKey"` and of `"batch"`
    in quotes, and no letter that folds to one of theirs, escaped or not.
    """
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            return False
        for letter in _FOLDING:
            if letter in body:
                return False
    if b"\\" in body and _LETTER_ESCAPE_IN(body):  # the first is one memchr
        return False
    folded = body.lower()
    return folded.count(b'"writekey"') == keys and folded.count(b'"batch"') == batches


def holds_no_more_by_octet(body: bytes, keys: int, batches: int) -> bool:
    """As `holds_no_more_by_search`, in one pass: the better way once it is compiled.

    It stops at a letter of either name that few other words have.
    """
    octets = body
    telling = _TELLING
    end = len(body)
    keys_found = batches_found = at = 0
    while at < end:
        # Four at a time, because nearly all of them tell nothing.
        if at + 4 <= end and not (
            telling[octets[at]]
            | telling[octets[at + 1]]
            | telling[octets[at + 2]]
            | telling[octets[at + 3]]
        ):
            at += 4
            continue
        told = telling[octets[at]]
        if told:
            if told == _IS_ODD:
                return holds_no_more_by_search(body, keys, batches)
            if told == _IS_K:
                keys_found += _is_write_key(body, at, end)
            else:
                batches_found += _is_batch(body, at, end)
        at += 1
    return keys_found == keys and batches_found == batches


_IS_ODD, _IS_K, _IS_H = 1, 2, 4
_TELLING = bytes(
    _IS_K
    if octet in b"kK"
    else _IS_H
    if octet in b"hH"
    else _IS_ODD
    if octet == ord("\\") or not chr(octet).isascii()
    else 0
    for octet in range(256)
)
"""What an octet gives away: a `k`, an `h`, or that there is more than plain ASCII."""

_QUOTE = ord('"')
_TO_K, _FROM_K = len('"write'), len('key"')
_TO_H, _FROM_H = len('"batc'), len('h"')


def _is_write_key(octets: bytes, k: int, end: int) -> bool:
    """Whether the letter at `k` is the one in some spelling of `"writeKey"`."""
    start, behind = k - _TO_K, k + _FROM_K
    return (
        start >= 0
        and behind <= end
        and octets[start] == _QUOTE
        and octets[start:behind].lower() == b'"writekey"'
    )


def _is_batch(octets: bytes, h: int, end: int) -> bool:
    """Whether the letter at `h` is the last in some spelling of `"batch"`."""
    start, behind = h - _TO_H, h + _FROM_H
    return (
        start >= 0
        and behind <= end
        and octets[start] == _QUOTE
        and octets[start:behind].lower() == b'"batch"'
    )


_IS_COMPILED = not __file__.endswith(".py")

MAX_BY_OCTET: Final = 4096
"""Octets up to which one pass is better, if it is compiled: in a longer body every
`k` and `h` that is guessed wrong costs more than searching does."""


def holds_no_more(body: bytes, keys: int, batches: int) -> bool:
    """As `holds_no_more_by_search`, in whichever way is the quicker one."""
    if _IS_COMPILED and len(body) <= MAX_BY_OCTET:
        return holds_no_more_by_octet(body, keys, batches)
    return holds_no_more_by_search(body, keys, batches)
