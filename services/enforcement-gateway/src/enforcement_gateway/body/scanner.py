"""The write keys of a plain body, read octet by octet in one pass.

It does what a JSON library and a search for other spellings do for the quick way of
`write_keys`, and makes nothing of what it skips. That pays in C; interpreted, the same
source gives the same answers in a hundred times the time, and is there to be tested.

It answers only where nothing needs a second look, and declines anything odd: text that
is no JSON; in the body or in an event a name with an escape, a letter beyond ASCII, or
one of the two in another case; one of the two twice, or with an odd value. Others then
say what that is.

No index is held against the size on the way. Behind the last octet C finds a NUL,
which ends every loop and fits nowhere; the interpreter raises IndexError there.
"""

from typing import Final

from enforcement_gateway.body.absurdity import is_absurd
from enforcement_gateway.body.known_keys import alone, is_printable

IS_COMPILED: Final = not __file__.endswith(".py")
"""Whether scanning is the quickest there is."""

_MAX_DEPTH: Final = 60
"""What nests deeper is declined, so that the bits of a word tell what is open."""

_DECLINED: Final = -1

# C takes a pointer to octets from what has a name. So all tables and texts have two.
_KEY_TEXT: Final = b"writeKey"
_KEY_OCTETS: Final = _KEY_TEXT
_KEY_SIZE: Final = len(_KEY_TEXT)
_BATCH_TEXT: Final = b"batch"
_BATCH_OCTETS: Final = _BATCH_TEXT
_BATCH_SIZE: Final = len(_BATCH_TEXT)

_OTHER, _KEY, _BATCH = range(3)
"""What a name may be."""

_CASE: Final = 0x20
"""The bit in which the two cases of a letter differ in ASCII."""


_PLAIN, _SPACE, _DIGIT, _HEX, _ESCAPED, _CONTINUES = 1, 2, 4, 8, 16, 32
"""What an octet can be; the first is itself in a string, the last goes on in UTF-8."""


def _kinds(octet: int) -> int:
    letter = chr(octet)
    return (
        _PLAIN * (" " <= letter <= "\x7f" and letter not in '"\\')
        | _SPACE * (letter in " \t\r\n")
        | _DIGIT * (letter in "0123456789")
        | _HEX * (letter in "0123456789abcdefABCDEF")
        | _ESCAPED * (letter in '"\\/bfnrt')
        | _CONTINUES * ("\x80" <= letter <= "\xbf")
    )


_KINDS_TABLE: Final = bytes(_kinds(octet) for octet in range(256))
_KINDS: Final = _KINDS_TABLE

# Well-formed UTF-8 beyond ASCII (RFC 3629 section 4), by the first octet.
_SIZE_TABLE: Final = bytes(0xC2) + b"\x02" * 30 + b"\x03" * 16 + b"\x04" * 5 + bytes(11)
_SIZE: Final = _SIZE_TABLE
_SECOND_FROM_TABLE: Final = bytes(
    {0xE0: 0xA0, 0xF0: 0x90}.get(lead, 0x80) for lead in range(256)
)
_SECOND_FROM: Final = _SECOND_FROM_TABLE
_SECOND_TO_TABLE: Final = bytes(
    {0xED: 0x9F, 0xF4: 0x8F}.get(lead, 0xBF) for lead in range(256)
)
_SECOND_TO: Final = _SECOND_TO_TABLE

_TRUE_TEXT: Final = b"true"
_TRUE: Final = _TRUE_TEXT
_FALSE_TEXT: Final = b"false"
_FALSE: Final = _FALSE_TEXT
_NULL_TEXT: Final = b"null"
_NULL: Final = _NULL_TEXT


def scan_write_keys(body: bytes) -> tuple[str, ...] | None:
    """The keys of the body and of its events, each once, or None for "look closer"."""
    if is_absurd(body):
        return None
    try:
        return _scan(body, len(body))
    except IndexError:
        return None


def _scan(text: bytes, size: int) -> tuple[str, ...] | None:
    at = _after_space(text, 0)
    if text[at] != ord("{"):
        return None
    keys: list[str] = []
    at = _members_end(text, at, keys, True)
    if at == _DECLINED:
        return None
    while at < size and _KINDS[text[at]] & _SPACE:
        at += 1
    if at != size:
        return None
    if len(keys) == 1:  # as every SDK sends it
        return alone(keys[0])
    for key in keys:
        if not is_printable(key):
            return None
    return tuple(dict.fromkeys(keys))


# --- Where names count. Each takes where something begins, and tells where it ends. ---


def _members_end(text: bytes, at: int, keys: list[str], at_top: bool) -> int:
    """Of the body (`at_top`) or of an event, whose keys are added to `keys`."""
    has_key = has_batch = False
    at = _after_space(text, at + 1)
    if text[at] == ord("}"):
        return at + 1
    while True:
        if text[at] != ord('"'):
            return _DECLINED
        start = at + 1
        at = _plain_end(text, start)
        if text[at] != ord('"'):
            return _DECLINED
        name = _name_at(text, start, at - start, at_top)
        at = _after_space(text, at + 1)
        if text[at] != ord(":"):
            return _DECLINED
        at = _after_space(text, at + 1)
        if name == _OTHER:
            at = _value_end(text, at)
        elif name == _BATCH:
            if has_batch:
                return _DECLINED
            has_batch = True
            at = _events_end(text, at, keys)
        elif name == _KEY:
            if has_key or text[at] != ord('"'):
                return _DECLINED
            has_key = True
            start = at + 1
            at = _plain_end(text, start)
            if text[at] != ord('"'):
                return _DECLINED
            key = text[start:at].decode("ascii")
            at += 1
            if at_top:
                keys.insert(0, key)
            else:
                keys.append(key)
        else:
            return _DECLINED
        if at == _DECLINED:
            return _DECLINED
        at = _after_space(text, at)
        if text[at] == ord("}"):
            return at + 1
        if text[at] != ord(","):
            return _DECLINED
        at = _after_space(text, at + 1)


def _events_end(text: bytes, at: int, keys: list[str]) -> int:
    """Of an array of objects."""
    if text[at] != ord("["):
        return _DECLINED
    at = _after_space(text, at + 1)
    if text[at] == ord("]"):
        return at + 1
    while True:
        if text[at] != ord("{"):
            return _DECLINED
        at = _members_end(text, at, keys, False)
        if at == _DECLINED:
            return _DECLINED
        at = _after_space(text, at)
        if text[at] == ord("]"):
            return at + 1
        if text[at] != ord(","):
            return _DECLINED
        at = _after_space(text, at + 1)


def _name_at(text: bytes, at: int, size: int, at_top: bool) -> int:
    """Which name the `size` octets from there are; declined in another case."""
    if size == _KEY_SIZE:
        name = _KEY
        octets = _KEY_OCTETS
    elif at_top and size == _BATCH_SIZE:
        name = _BATCH
        octets = _BATCH_OCTETS
    else:
        return _OTHER
    difference = 0
    for index in range(size):
        difference |= text[at + index] ^ octets[index]
    if not difference:
        return name
    return _DECLINED if difference == _CASE else _OTHER


# --- Where they do not ---


def _value_end(text: bytes, at: int) -> int:
    """Of a value of any kind, whatever is in it."""
    depth = 0
    nesting = (
        0  # a bit for each bracket that is open, the lowest for the last: 1 is `{`
    )
    while True:
        if nesting & 1:  # a member: its name, and a colon
            if text[at] != ord('"'):
                return _DECLINED
            at = _string_end(text, at + 1)
            if at == _DECLINED:
                return _DECLINED
            at = _after_space(text, at)
            if text[at] != ord(":"):
                return _DECLINED
            at = _after_space(text, at + 1)
        octet = text[at]
        if octet == ord('"'):
            at = _string_end(text, at + 1)
        elif octet == ord("{") or octet == ord("["):
            if depth == _MAX_DEPTH:
                return _DECLINED
            depth += 1
            nesting = nesting << 1 | (octet == ord("{"))
            at = _after_space(text, at + 1)
            if text[at] != (ord("}") if nesting & 1 else ord("]")):
                continue
        elif octet == ord("-") or _KINDS[octet] & _DIGIT:
            at = _number_end(text, at)
        else:
            at = _literal_end(text, at)
        if at == _DECLINED:
            return _DECLINED
        while True:  # behind a value
            if not depth:
                return at
            at = _after_space(text, at)
            octet = text[at]
            if octet == ord(","):
                break
            if octet != (ord("}") if nesting & 1 else ord("]")):
                return _DECLINED
            at += 1
            depth -= 1
            nesting >>= 1
        at = _after_space(text, at + 1)


def _after_space(text: bytes, at: int) -> int:
    while _KINDS[text[at]] & _SPACE:
        at += 1
    return at


def _plain_end(text: bytes, at: int) -> int:
    """Of octets that stand for themselves in a string, and are ASCII."""
    while _KINDS[text[at]] & _PLAIN:
        at += 1
    return at


def _string_end(text: bytes, at: int) -> int:
    """Of a string whose first quote is just before."""
    while True:
        at = _plain_end(text, at)
        octet = text[at]
        if octet == ord('"'):
            return at + 1
        at = _escape_end(text, at) if octet == ord("\\") else _character_end(text, at)
        if at == _DECLINED:
            return _DECLINED


def _escape_end(text: bytes, at: int) -> int:
    if _KINDS[text[at + 1]] & _ESCAPED:
        return at + 2
    if (
        text[at + 1] == ord("u")
        and _KINDS[text[at + 2]] & _HEX
        and _KINDS[text[at + 3]] & _HEX
        and _KINDS[text[at + 4]] & _HEX
        and _KINDS[text[at + 5]] & _HEX
    ):
        return at + 6
    return _DECLINED


def _character_end(text: bytes, at: int) -> int:
    """Of a character beyond ASCII, in UTF-8."""
    lead = text[at]
    size = _SIZE[lead]
    if not size:
        return _DECLINED
    second = text[at + 1]
    if second < _SECOND_FROM[lead] or second > _SECOND_TO[lead]:
        return _DECLINED
    for index in range(2, size):
        if not _KINDS[text[at + index]] & _CONTINUES:
            return _DECLINED
    return at + size


def _number_end(text: bytes, at: int) -> int:
    if text[at] == ord("-"):
        at += 1
    if text[at] == ord("0"):
        at += 1
    else:
        at = _digits_end(text, at)
        if at == _DECLINED:
            return _DECLINED
    if text[at] == ord("."):
        at = _digits_end(text, at + 1)
        if at == _DECLINED:
            return _DECLINED
    if text[at] == ord("e") or text[at] == ord("E"):
        at += 1
        if text[at] == ord("+") or text[at] == ord("-"):
            at += 1
        at = _digits_end(text, at)
    return at


def _digits_end(text: bytes, at: int) -> int:
    """Of one digit or more."""
    if not _KINDS[text[at]] & _DIGIT:
        return _DECLINED
    while _KINDS[text[at]] & _DIGIT:
        at += 1
    return at


def _literal_end(text: bytes, at: int) -> int:
    """Of `true`, `false` or `null`."""
    octet = text[at]
    if octet == ord("t"):
        return _word_end(text, at, _TRUE, 4)
    if octet == ord("f"):
        return _word_end(text, at, _FALSE, 5)
    return _word_end(text, at, _NULL, 4)


def _word_end(text: bytes, at: int, word: bytes, size: int) -> int:
    for index in range(size):
        if text[at + index] != word[index]:
            return _DECLINED
    return at + size
