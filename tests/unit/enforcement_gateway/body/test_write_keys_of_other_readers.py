"""No reader behind us finds another write key than we did.

Two oracles that share nothing with the reader. One knows the truth because it wrote
the body, spelling by spelling. The other reads what we accepted as servers in other
languages do: the first of two members or the last, with regard to case or without.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from enforcement_gateway.body.write_keys import (
    read_write_keys,
    read_write_keys_quickly,
    read_write_keys_strictly,
)
from enforcement_gateway.domain.denials import Refused

# --- Bodies, and what is true of them ---

Spelt: TypeAlias = tuple[str, str]
"""How a string stands in the text, without its quotes, and what it means."""


def plainly(text: str) -> Spelt:
    return text, text


def escaped(at: int, text: str, *, upper: bool = False) -> Spelt:
    code = f"{ord(text[at]):04x}"
    spelling = f"\\u{code.upper() if upper else code}"
    return text[:at] + spelling + text[at + 1 :], text


NAMES = st.one_of(
    st.sampled_from(["writeKey", "batch"] * 3).map(plainly),
    st.sampled_from(
        [
            "writekey",
            "WriteKey",
            "WRITEKEY",
            "Batch",
            "BATCH",
            "write\u212aey",
            "wr\u0131teKey",
            "WR\u0130TEKEY",
        ]
    ).map(plainly),
    st.sampled_from(
        ["writeKeys", "write_key", "batch2", "context", "", "k", "writeKey ", "é", "🦆"]
    ).map(plainly),
    st.builds(
        escaped,
        st.integers(0, 4),
        st.sampled_from(["writeKey", "batch", "BATCH", "write", "other"]),
        upper=st.booleans(),
    ),
    st.sampled_from(
        [
            ("\\n", "\n"),
            ("\\\\u0062atch", "\\u0062atch"),
            ('\\"writeKey\\"', '"writeKey"'),
            ("\\bu0062atch", "\bu0062atch"),
            ("\\/", "/"),
            ("\\ud800", "\ud800"),
        ]
    ),
)
STRINGS = st.one_of(
    st.sampled_from(["k", "l", "writeKey", "batch", "a b", ""]).map(plainly),
    st.sampled_from(
        [
            ("\\u006b", "k"),
            ('\\"writeKey\\":', '"writeKey":'),
            ("\\u0000", "\0"),
            ("\\ud83e\\udd86", "🦆"),
            ("\\ud800", "\ud800"),
            ("é", "é"),
            ("\\n", "\n"),
        ]
    ),
)


class Obj:
    def __init__(self, members: list[tuple[Spelt, Any]]) -> None:
        self.members = members


VALUES = st.recursive(
    st.one_of(
        STRINGS,
        st.sampled_from([None, True, 0, -0.5, 10**30]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(NAMES, inner), max_size=3).map(Obj)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(["k", "l", "a b", "writeKey", ""]).map(plainly)
HARMLESS = st.tuples(
    st.sampled_from([*map(plainly, ("type", "context", "é", "")), ("\\n", "\n")]),
    VALUES,
)
EVENTS = st.one_of(
    st.lists(HARMLESS, max_size=2).map(Obj),
    KEYS.map(lambda key: Obj([(plainly("writeKey"), key)])),
    st.lists(st.tuples(NAMES, STRINGS | VALUES), max_size=3).map(Obj),
)


@st.composite
def plausible_bodies(draw: st.DrawFn) -> Obj:
    """What an SDK sends, with an odd member now and then."""
    members = draw(st.lists(HARMLESS, max_size=2))
    if draw(st.booleans()):
        members.append((plainly("writeKey"), draw(KEYS)))
    if draw(st.booleans()):
        members.append((plainly("batch"), draw(st.lists(EVENTS, max_size=3))))
    members += draw(st.lists(st.tuples(NAMES, STRINGS), max_size=1))
    return Obj(draw(st.permutations(members)))


BODIES = plausible_bodies() | st.lists(
    st.tuples(NAMES, STRINGS | st.lists(EVENTS, max_size=3) | VALUES), max_size=4
).map(Obj)
GAPS = st.sampled_from(["", "", " ", "\n", "\t \r\n"])


def written(value: Any, gap: str) -> str:
    match value:
        case Obj(members=members):
            parts = [f'"{name[0]}"{gap}:{written(each, gap)}' for name, each in members]
            return "{" + gap + f"{gap},".join(parts) + "}"
        case list():
            return (
                "[" + f",{gap}".join(written(each, gap) for each in value) + gap + "]"
            )
        case (spelling, _):
            return f'"{spelling}"'
        case _:
            return json.dumps(value)


def folded(name: str) -> str:
    for letter, twin in (("\u212a", "k"), ("\u0130", "i"), ("\u0131", "i")):
        name = name.replace(letter, twin)
    return name.lower()


class Unclear(Exception):
    pass


def truth(body: Obj, *, at_top: bool = True) -> Iterator[str]:
    """The keys in order, or `Unclear`."""
    wanted = {"writekey": "writeKey"} | ({"batch": "batch"} if at_top else {})
    concerning = [
        (name, value) for name, value in body.members if folded(name[1]) in wanted
    ]
    meanings = [folded(name[1]) for name, _ in concerning]
    if len(set(meanings)) != len(meanings):
        raise Unclear
    for (spelling, meaning), value in concerning:
        exact = wanted[folded(meaning)]
        if spelling != exact:
            raise Unclear
        if exact == "writeKey":
            match value:
                case (_, str() as key) if key.isascii() and key.isprintable():
                    yield key
                case _:
                    raise Unclear
        else:
            if not isinstance(value, list):
                raise Unclear
            for each in value:
                if not isinstance(each, Obj):
                    raise Unclear
                yield from truth(each, at_top=False)


def outcome(read: Callable[[bytes], tuple[str, ...]], body: bytes) -> set[str] | None:
    try:
        return set(read(body))
    except Refused:
        return None


@settings(max_examples=300)
@given(body=BODIES, gap=GAPS)
@example(
    body=Obj(
        [
            (plainly("writeKey"), plainly("k")),
            (plainly("batch"), [Obj([(plainly("writeKey"), plainly("l"))])]),
        ]
    ),
    gap="",
)
def test_it_is_what_whoever_wrote_it_meant(body: Obj, gap: str) -> None:
    octets = written(body, gap).encode()
    expected: set[str] | None
    try:
        expected = set(truth(body))
    except Unclear:
        expected = None
    event("unclear" if expected is None else f"{len(expected)} keys")
    assert outcome(read_write_keys_strictly, octets) == expected
    assert outcome(read_write_keys, octets) == expected
    quick = read_write_keys_quickly(octets)
    assert quick is None or set(quick) == expected


# --- What others read in what we accepted ---

Pairs: TypeAlias = list[tuple[str, Any]]


class Members:
    """An object as it stands, with nothing decided about its members."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs


def last_exact(members: Members, name: str) -> Any:
    """Python, JavaScript, PHP, Ruby."""
    return dict(members.pairs).get(name)


def first_exact(members: Members, name: str) -> Any:
    """Some C and C++ libraries, and streaming readers everywhere."""
    return next((value for each, value in members.pairs if each == name), None)


def last_folded(members: Members, name: str) -> Any:
    """Go, and .NET and Java where they are told to overlook case."""
    return {folded(each): value for each, value in members.pairs}.get(folded(name))


def first_folded(members: Members, name: str) -> Any:
    return next(
        (value for each, value in members.pairs if folded(each) == folded(name)), None
    )


READERS = (last_exact, first_exact, last_folded, first_folded)


def keys_seen_by(reader: Callable[[Members, str], Any], document: Members) -> set[Any]:
    events = reader(document, "batch")
    seen = [document, *(events if isinstance(events, list) else [])]
    keys = [reader(each, "writeKey") for each in seen if isinstance(each, Members)]
    return {key for key in keys if isinstance(key, str)}


def damaged(body: bytes, at: int, octets: bytes, gone: int) -> bytes:
    at %= len(body) + 1
    return body[:at] + octets + body[at + gone :]


@settings(max_examples=400)
@given(
    body=BODIES,
    gap=GAPS,
    at=st.integers(0, 400),
    octets=st.sampled_from(
        [
            b"",
            b"",
            b'"',
            b"\\",
            b",",
            b"}",
            b"{",
            b"\x00",
            b"\xef\xbb\xbf",
            b"\xff",
            b"u",
        ]
    ),
    gone=st.integers(0, 2),
)
def test_nobody_behind_us_finds_a_key_that_we_did_not(
    body: Obj, gap: str, at: int, octets: bytes, gone: int
) -> None:
    data = damaged(written(body, gap).encode(), at, octets, gone)
    ours = outcome(read_write_keys, data)
    event("refused" if ours is None else "accepted")
    if ours is None:
        return
    document = json.loads(data, object_pairs_hook=Members)
    assert isinstance(document, Members)
    for reader in READERS:
        assert keys_seen_by(reader, document) <= ours
