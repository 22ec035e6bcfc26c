"""Every write key that a JSON body names, or a refusal to guess.

The gateway and the tracking API must not read different keys. Python takes the last of
two members of one name, Go matches names without regard to case, and each language has
its own idea of case. So a member that any of them could take for `writeKey` or `batch`
must be spelt exactly so, in these very bytes, and stand once; else the body cannot be
read. The same goes for what JSON parsers disagree about: a BOM, NaN, other encodings.

`read_write_keys` is quick on the bodies that SDKs send, and hands the rest to
`read_write_keys_strictly`, which is the rule. A property test holds them together.
"""

import codecs
import json
import re
import sys
from collections.abc import Callable, Iterable
from itertools import product
from operator import countOf
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType
from simdjson import Array, Object, Parser
from stringzilla import count, find, translate

from enforcement_gateway.body.absurdity import MAX_UNCOUNTED, is_absurd
from enforcement_gateway.body.known_keys import alone, is_printable
from enforcement_gateway.body.scanner import IS_COMPILED, scan_write_keys
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
_ODD_BATCHES: Final = _BATCHES - {_BATCH}
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
    if is_absurd(body):
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
    if not isinstance(value, str) or not is_printable(value):
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

DEEPEST: Final = 1024
"""As many arrays and objects within each other simdjson reads, and so must the rule."""

sys.setrecursionlimit(max(sys.getrecursionlimit(), 2 * DEEPEST))


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

_FEWEST_INDEXED: Final = 8 * 1024
_MOST_INDEXED: Final = 512 * 1024
"""Octets: of what size bodies are that simdjson checks. A smaller one gains nothing; it
keeps 14 octets for each of the largest it has seen."""

MOST_NAMES: Final = 64
"""Members of an indexed body; SDKs send four."""

_index: Final = Parser().parse
_LETTER_ESCAPE_IN = re.compile(rb"\\u(?:00[4-7]|212[aA]|013[01])").search
_ESCAPE: Final = b"\\u"
_BACKSLASH: Final = ord("\\")
_LETTER_ESCAPES: Final = tuple(
    _ESCAPE + digits for digits in (b"004", b"005", b"006", b"007", b"013", b"212")
)
"""How each escape begins that `_LETTER_ESCAPE_IN` finds, and few others do."""

_FOLDING: Final = tuple(letter.encode() for letter in "\u0130\u0131\u212a")
_IN_DOUBT: Final = -1
_FOLDED_KEY: Final = b'"writekey"'
_BEGUN: Final = b'"w'
_BEGUN_UPPER: Final = b'"W'
_UPPER: Final = ord("W")
"""How each spelling of the key's name begins, if no letter is escaped."""

_ODD: Final = 0xFF
_FOLDED: Final = bytes(
    _ODD if octet == ord("\\") or octet > ord("\x7f") else octet
    for octet in bytes(range(256)).lower()
)
"""What searching need not tell apart: letters are lower, and what may spell one in
another way, a backslash or an octet beyond ASCII, is `_ODD`. `bytes` could do all of
this too, and count, at a tenth of the speed.
"""


def read_write_keys(body: bytes) -> tuple[str, ...]:
    """As `read_write_keys_strictly`, and quick where there is nothing odd."""
    keys = read_write_keys_quickly(body)
    return read_write_keys_strictly(body) if keys is None else keys


def read_write_keys_quickly(body: bytes) -> tuple[str, ...] | None:
    """The keys, if no other reader can see others, or None for "ask the rule"."""
    if _FEWEST_INDEXED <= len(body) <= _MOST_INDEXED:
        keys = index_write_keys(body)
    elif IS_COMPILED:
        keys = scan_write_keys(body)
    else:
        return parse_write_keys(body)
    return parse_write_keys(body) if keys is None else keys


def index_write_keys(body: bytes) -> tuple[str, ...] | None:
    """As `parse_write_keys`, by simdjson: quicker for large bodies.

    It checks the grammar as the rule does, but for a BOM, which it skips, and for what
    it finds too long or too deep. In its index it finds the members spelt exactly: the
    first of two, so keys are counted like other spellings, and the names of the body
    are looked at. Spellings come first, as a body that was just inflated is near.
    """
    if len(body) > MAX_UNCOUNTED and is_absurd(body):
        return None
    spelt = keys_spelt_at_most(body)
    if spelt == _IN_DOUBT:
        return None
    try:
        read = _index(body)
        if type(read) is not Object or len(read) > MOST_NAMES:
            return None
        names = [*read]
    except (ValueError, RuntimeError):
        return None
    events: Any = ()
    if not _BATCHES.isdisjoint(names):
        if names.count(_BATCH) != 1 or not _ODD_BATCHES.isdisjoint(names):
            return None
        events = read[_BATCH]
        if type(events) is not Array:
            return None
        if countOf(map(type, events), Object) != len(events):
            return None
    if spelt == 1 and _KEY in names:  # as every SDK sends it
        key = read[_KEY]
        return alone(key) if type(key) is str else None
    return _all([each[_KEY] for each in (read, *events) if _KEY in each], spelt)


def parse_write_keys(body: bytes) -> tuple[str, ...] | None:
    """The same without scanning: the quickest there is for the interpreter.

    msgspec checks the grammar and takes the members spelt exactly. If the body holds
    no more spellings of the two names than it took, no other member is one.
    """
    if len(body) > MAX_UNCOUNTED and is_absurd(body):
        return None
    try:
        read = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    key, events = read.writeKey, read.batch
    spelt = keys_spelt(body, 0 if events is UNSET else 1)
    if spelt == 1 and key is not UNSET:  # as every SDK sends it
        return alone(key)
    taken = [] if key is UNSET else [key]
    if events is not UNSET and spelt > 0:
        taken += [event.writeKey for event in events if event.writeKey is not UNSET]
    return _all(taken, spelt)


def _all(taken: list[Any], spelt: int) -> tuple[str, ...] | None:
    """Those that were taken, each once, if they are all that is spelt, and all keys."""
    if spelt != len(taken):
        return None
    for each in taken:
        if type(each) is not str or not is_printable(each):
            return None
    return tuple(dict.fromkeys(taken))


def keys_spelt(body: bytes, batches: int) -> int:
    """How often a JSON text holds `"writeKey"`, in any spelling some reader knows.

    Negative if that cannot be told quickly, as with a letter that folds to one of the
    two names' or an escape that may be one; or if `"batch"` does not stand there as
    often as `batches` says. Many more than there are may be counted, never fewer:
    values count, and so does what is further down.
    """
    folded = _folded(body)
    if folded is None or count(folded, b'"batch"') != batches:
        return _IN_DOUBT
    spelt: int = count(folded, _FOLDED_KEY)
    return spelt


def keys_spelt_at_most(body: bytes) -> int:
    """As `keys_spelt` without a look at batches; quicker if only one begins as the key.

    Each spelling does, where no letter is escaped: none but w itself folds to it. To
    look for the beginnings takes half as long as to fold, and fills no memory.
    """
    if body.startswith(codecs.BOM_UTF8) or _escapes_a_letter(body):
        return _IN_DOUBT
    begun: int = count(body, _BEGUN)
    if _UPPER in body:
        begun += count(body, _BEGUN_UPPER)
    if begun <= 1:
        return begun
    folded = _folded(body)
    if folded is None:
        return _IN_DOUBT
    spelt: int = count(folded, _FOLDED_KEY)
    return spelt


def _folded(body: bytes) -> bytes | None:
    """The body in which each spelling of a name is the same; None if not all are."""
    folded: bytes = translate(body, _FOLDED)
    # The first is one memchr, as long as it is asked about a number.
    if _ODD in folded and _may_spell_otherwise(body):
        return None
    return folded


def _may_spell_otherwise(body: bytes) -> bool:
    """Whether there is a letter that folds to one of ASCII, or an escaped letter.

    Or a BOM, which some readers skip, and others take for the start of a name.
    """
    if not body.isascii():
        if body.startswith(codecs.BOM_UTF8):
            return True
        try:
            body.decode()
        except UnicodeDecodeError:
            return True
        for letter in _FOLDING:
            if find(body, letter) >= 0:
                return True
    return _escapes_a_letter(body)


def _escapes_a_letter(body: bytes) -> bool:
    """Whether `_LETTER_ESCAPE_IN` finds one; it is asked where there may be one.

    It takes as long as ten searches of stringzilla, or as all else that is done here.
    """
    if _BACKSLASH not in body or find(body, _ESCAPE) < 0:
        return False
    for escape in _LETTER_ESCAPES:
        if find(body, escape) >= 0:
            return _LETTER_ESCAPE_IN(body) is not None
    return False
