"""The key at the end of a body is one that the rule finds, or the rule refuses it."""

import json

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from enforcement_gateway.body.last_write_key import (
    MAX_TAIL,
    last_write_key,
    last_write_keys,
)
from enforcement_gateway.body.write_keys import read_write_keys_strictly
from enforcement_gateway.domain.denials import Refused

EVENTS = [{"type": "track", "properties": {"writeKey": "other", "x": [1.5, None]}}] * 2


class TestSeen:
    @pytest.mark.parametrize(
        "body",
        [
            {"batch": EVENTS, "sentAt": "2026-01-01", "writeKey": "k"},  # Python
            {"batch": EVENTS, "writeKey": "k", "sentAt": "2026-01-01"},  # Node.js
            {"writeKey": "k", "type": "track", "event": "Order"},
            {"writeKey": "k"},
        ],
    )
    @pytest.mark.parametrize("separators", [None, (",", ":"), ("\n,\t", "\r\n: ")])
    def test_the_last_member_names_it(self, body, separators) -> None:
        text = json.dumps(body, separators=separators)
        for around in ("{}", "{}\n", "\n{} \r\n"):
            assert last_write_key(around.format(text).encode()) == "k"

    def test_however_much_stands_in_front_of_it(self) -> None:
        body = b'{"batch":[%b],"writeKey":"k"}' % (b" " * 1_000_000)
        assert last_write_key(body) == "k"


class TestNotSeen:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"}",
            b'"writeKey":"k"}',
            b'{"writeKey":"k"',
            b'{"writeKey":"k"]',
            b'{"writeKey":"k"}}',
            b'{"writeKey":"k"} x',
            b'{"writeKey":"k",}',
            b'{"x":{"writeKey":"k"}}',
            b'{"batch":[{"writeKey":"k"}]}',
            b'{"writeKey":"k","batch":[]}',
            b'{"writeKey":"k","x":1}',
            b'{"writeKey":"k","x":"\\n"}',
            b'{"writeKey":1}',
            b'{"writeKey":"\\u006b"}',
            b'{"writeKey":"\xc3\xa9"}',
            b'{"x":"\\"writeKey":"k"}',
            b'{"writekey":"k"}',
            b'{"x":"writeKey"}',
            b'{"x":"\\"writeKey\\":\\"k\\"}"}',
            b'{"writeKey":"k\n"}',
            b'{"writeKey":"k","x":"%b"}' % (b"x" * MAX_TAIL),
        ],
    )
    def test_it_takes_nothing_that_needs_a_second_look(self, body) -> None:
        in_front = b'{"writeKey":"k"\r\n\r\n'
        assert last_write_key(body) is None
        for last in (b'{"writeKey":"k"}', b'{"x":"","writeKey":"k"}', in_front + b"}"):
            for _ in range(3):  # until it is the end that came last
                assert last_write_key(last) == "k"
            assert last_write_key(body) is None
            for head in (b"{", in_front):
                assert last_write_key(head + body, len(head)) is None


BODIES = [
    b'{"writeKey":"k"}',
    b'{"x":1,"writeKey":"k"}',
    b'{"x":2,"writeKey":"k"}',
    b'{"x":1,"writeKey":"j"}',
    b'"writeKey":"k"}',
    b',"writeKey":"k"}',
    b'{"writeKey":"k","x":""}',
    b"}",
]


@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from(BODIES), st.sampled_from([b"", b"{", b'{"x":1'])),
            min_size=1,
            max_size=3,
        ),
        max_size=4,
    )
)
@example(turns=[*3 * [[(BODIES[0], b"")]], [(BODIES[4], b"{")]])
def test_those_of_many_are_those_of_each(turns: list[list[tuple[bytes, bytes]]]):
    """Whatever came last, and whatever stands in front of a body."""
    for turn in turns:
        requests = tuple(head + body for body, head in turn)
        told = last_write_keys(requests, tuple(len(head) for _, head in turn))
        assert told == [last_write_key(body) for body, _ in turn]


def strict_or_none(body: bytes) -> tuple[str, ...] | None:
    try:
        return read_write_keys_strictly(body)
    except Refused:
        return None


def agrees(body: bytes) -> bool:
    key = last_write_key(body)
    if key is None:
        event("not seen")
        return True
    keys = strict_or_none(body)
    event("refused by the rule" if keys is None else "found by the rule")
    return keys is None or key in keys


TEXTS = st.sampled_from(
    [
        *("writeKey", '"writeKey"', '"writeKey":"k"}', '","writeKey":"k', "k", "l"),
        *("\\", '"', '\\"', "}", "batch", "\u212a", ""),
    ]
)
VALUES = st.recursive(
    TEXTS | st.none() | st.integers(0, 9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
    ),
    max_leaves=8,
)
NAMED = st.tuples(st.just("writeKey"), st.sampled_from(["k", "l", "}", '"', ""]))
OBJECTS = st.lists(NAMED | st.tuples(TEXTS, VALUES), max_size=4)
SOUP = st.lists(
    st.sampled_from(
        [
            *(b'"writeKey"', b'"k"', b'"', b"\\", b'\\"', b":", b",", b"{", b"}"),
            *(b"[", b"]", b" ", b"\n", b'"batch"', b'"x"', b"writeKey", b"\xff"),
        ]
    ),
    max_size=14,
).map(b"".join)


def written(members: list[tuple[str, object]]) -> bytes:
    pairs = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in members)
    return f"{{{', '.join(pairs)}}}".encode()


class TestAgreement:
    @given(members=OBJECTS)
    @example(members=[("writeKey", "l"), ("writeKey", "k")])
    @example(members=[("x", '"writeKey":"k"}'), ("writeKey", "k")])
    def test_of_objects_that_name_it_anywhere(self, members) -> None:
        assert agrees(written(members))

    @given(members=OBJECTS, at=st.integers(0, 200), octet=st.integers(0, 255))
    def test_of_objects_with_a_spoilt_octet(self, members, at, octet) -> None:
        body = bytearray(written(members))
        body[at % len(body)] = octet
        assert agrees(bytes(body))

    @given(before=SOUP, after=SOUP)
    def test_of_any_octets_that_look_alike(self, before, after) -> None:
        assert agrees(b"{" + before + b'"writeKey":"k"' + after + b"}")
        assert agrees(before + after)
