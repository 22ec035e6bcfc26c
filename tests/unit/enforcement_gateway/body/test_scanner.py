"""The scanner against the rule: JSON octet by octet, and which names count.

What it may decline and what it must not is held here as well: a scanner that declines
everything agrees with everybody. `test_write_keys.py` has the bodies built to confuse.
"""

import json
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enforcement_gateway.body.scanner import scan_write_keys
from enforcement_gateway.body.write_keys import read_write_keys_strictly
from enforcement_gateway.domain.denials import Refused


def by_the_rule(body: bytes) -> tuple[str, ...] | None:
    try:
        return read_write_keys_strictly(body)
    except Refused:
        return None


def agrees(body: bytes) -> bool:
    scanned = scan_write_keys(body)
    return scanned is None or scanned == by_the_rule(body)


def around(value: bytes) -> bytes:
    return b'{"x":%b,"writeKey":"k"}' % value


EVERYTHING = (
    ' \t\r\n{"batch" :[{"writeKey":"k","a":[],"b":{}, "c":[true,false,null,{"d":[]}]},'
    '{"e":-0,"f":12,"g":0.50,"h":1e5,"i":-1.5E-07,"j":2e+3,"k":"","l":"a\x7f~!#[]^"},'
    r'{"m":"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00\ud800"}],"writeKey":"key" , "n":{"\n":'
    '"é€\ud7ff😀\u07ff","writeKey":1,"WRITEKEY":2,"\\u0062atch":3}}\r\n '
).encode()
"""A body with all that JSON has."""

MAX_DEPTH = 60

OCTETS = [
    *b'\x00\x01\x1f \t\n\r"\\/{}[]:,+-.0159eEaAfFtnuUkKwWbBxX_~\x7f',
    *(0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE2),
    *(0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0xFF),
]


class TestGrammar:
    def test_everything_is_read(self):
        assert scan_write_keys(EVERYTHING) == ("key", "k")
        assert by_the_rule(EVERYTHING) == ("key", "k")

    def test_nothing_that_is_cut_short_is_read(self):
        end = len(EVERYTHING.rstrip())
        for size in range(end):
            assert scan_write_keys(EVERYTHING[:size]) is None, EVERYTHING[:size]
        for size in range(end, len(EVERYTHING) + 1):
            assert scan_write_keys(EVERYTHING[:size]) == ("key", "k")

    @pytest.mark.parametrize("octet", OCTETS)
    def test_any_octet_in_any_place_is_read_as_by_the_rule(self, octet):
        for at in range(len(EVERYTHING)):
            put_in = EVERYTHING[:at] + bytes([octet]) + EVERYTHING[at:]
            assert agrees(put_in), put_in
            instead = EVERYTHING[:at] + bytes([octet]) + EVERYTHING[at + 1 :]
            assert agrees(instead), instead

    def test_without_any_octet_it_is_read_as_by_the_rule(self):
        for at in range(len(EVERYTHING)):
            for size in (1, 2, 3):
                body = EVERYTHING[:at] + EVERYTHING[at + size :]
                assert agrees(body), body

    @given(
        text=st.text(alphabet='{}[]:,"\\u0af1.eE+-tn \x1f\x7fé€😀', max_size=12)
        | st.lists(
            st.sampled_from(
                [
                    *("{", "}", "[", "]", ":", ",", '"', '"a"', '"a":', "1", "-", "0"),
                    *("true", "null", "false", ".5", "e1", "\\n", "\\u", "00e9", " "),
                ]
            ),
            max_size=8,
        ).map("".join)
    )
    @example("1],[2")
    @example('1},"y":{')
    def test_a_value_is_read_if_and_only_if_it_is_one(self, text):
        """In an array and in an object, so that closing the wrong one is seen."""
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            body = around(opening + text.encode() + closing)
            assert scan_write_keys(body) == by_the_rule(body)

    @pytest.mark.parametrize(
        "number",
        [
            *(b"0", b"-0", b"7", b"10", b"-12", b"0.0", b"1.50", b"1e1", b"1E+9"),
            *(b"0e-00", b"1.5e300", b"9" * 400, b"1e" + b"9" * 400),
        ],
    )
    def test_numbers_are_of_any_size(self, number):
        for body in (around(number), around(b"[%b ]" % number)):
            assert scan_write_keys(body) == by_the_rule(body) == ("k",)
        for end in (b"", b".", b"e", b"E+", b"-", b"x", b"0x", b"_1", b"."):
            body = around(number + end)
            assert scan_write_keys(body) == by_the_rule(body)
            body = around(b"-" + number + end)
            assert scan_write_keys(body) == by_the_rule(body)

    def test_every_escape_there_is(self):
        for octet in range(256):
            body = around(b'"\\%b"' % bytes([octet]))
            assert scan_write_keys(body) == by_the_rule(body), body

    @pytest.mark.parametrize("place", range(4))
    def test_every_octet_in_an_escaped_code(self, place):
        for octet in range(256):
            code = bytearray(b"09aF")
            code[place] = octet
            body = around(b'"\\u%b"' % bytes(code))
            assert scan_write_keys(body) == by_the_rule(body), body

    def test_every_octet_in_a_string(self):
        for octet in range(256):
            body = around(b'"a%bz"' % bytes([octet]))
            assert scan_write_keys(body) == by_the_rule(body), body

    def test_every_octet_between_tokens(self):
        for octet in range(256):
            for gap in (b'{%b"a":1}', b'{"a"%b:1}', b'{"a":%b1}', b'[%b"a"]', b"[1%b]"):
                body = around(gap % bytes([octet]))
                assert scan_write_keys(body) == by_the_rule(body), body
            for whole in (b'%b{"writeKey":"k"}', b'{"writeKey":"k"}%b', b'{%b"b":1}'):
                assert agrees(whole % bytes([octet]))


class TestUtf8:
    SECOND = (0x00, 0x22, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF)
    LATER = (0x22, 0x7F, 0x80, 0xBF, 0xC0)

    @pytest.mark.parametrize("first", range(0x80, 0x100))
    def test_every_beginning_and_the_edges_of_what_follows(self, first):
        rests = [
            (),
            *product(self.SECOND),
            *product(self.SECOND, self.LATER),
            *product(self.SECOND, self.LATER, self.LATER),
        ]
        for rest in rests:
            body = around(b'"%b"' % bytes([first, *rest]))
            assert scan_write_keys(body) == by_the_rule(body), body

    @given(st.text(max_size=20))
    def test_all_that_can_be_written(self, text):
        body = around(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace"))
        assert scan_write_keys(body) == ("k",)


class TestDepth:
    @pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
    def test_it_declines_beyond_a_depth(self, opening, closing):
        for depth in (MAX_DEPTH - 1, MAX_DEPTH):
            body = around(opening * depth + b"1" + closing * depth)
            assert scan_write_keys(body) == ("k",)
        for depth in (MAX_DEPTH + 1, 64, 65, 128, 129):
            body = around(opening * depth + b"1" + closing * depth)
            assert scan_write_keys(body) is None

    @given(
        st.lists(st.booleans(), min_size=1, max_size=MAX_DEPTH),
        st.integers(0, MAX_DEPTH),
    )
    def test_what_was_opened_is_closed(self, kinds, wrong):
        opening = b"".join(b'{"a":' if each else b"[" for each in kinds)
        closing = [b"}" if each else b"]" for each in reversed(kinds)]
        assert scan_write_keys(around(opening + b"1" + b"".join(closing))) == ("k",)
        at = wrong % len(closing)
        closing[at] = b"]" if closing[at] == b"}" else b"}"
        assert scan_write_keys(around(opening + b"1" + b"".join(closing))) is None


class TestNames:
    NEAR = (
        *(b"writeKey", b"WriteKey", b"writekey", b"WRITEKEY", b"writeKeY", b"WriteKey"),
        *(b"batch", b"Batch", b"batcH", b"BATCH", b"batc", b"batchs", b"writeKeys"),
        *(b"writeKe", b"7riteKey", b"writeKeY", b"wripeKey", b"batc(", b"bat#h"),
        *(b"batCh", b"b\x61tch", b"write_ey", b"write\x7fey", b"", b"writeKey "),
        *(b"write\\u004bey", b"write\xe2\x84\xaaey", b"ba\\u0074ch", b"\xc3\xa9vent"),
        *(b"wr\xc4\xb1teKey", b"\\n"),
    )
    ODD = frozenset(b"\\\xe2\xc3\xc4")

    def answer_to(self, name, body):
        """That of the rule; none for a name that only the rule looks into."""
        return by_the_rule(body) if self.ODD.isdisjoint(name) else None

    @pytest.mark.parametrize("name", NEAR)
    @pytest.mark.parametrize(
        "value", [b'"k"', b"[]", b"1", b"{}", b'[{"writeKey":"l"}]']
    )
    def test_of_the_body(self, name, value):
        for body in (
            b'{"%b":%b}' % (name, value),
            b'{"%b":%b,"writeKey":"m"}' % (name, value),
            b'{"batch":[],"%b":%b}' % (name, value),
            b'{"batch":[{"writeKey":"m"}],"%b":%b,"writeKey":"n"}' % (name, value),
        ):
            assert scan_write_keys(body) == self.answer_to(name, body)

    @pytest.mark.parametrize("name", NEAR)
    @pytest.mark.parametrize(
        "value", [b'"k"', b"[]", b"1", b"{}", b'[{"writeKey":"l"}]']
    )
    def test_of_an_event(self, name, value):
        for body in (
            b'{"batch":[{"%b":%b}]}' % (name, value),
            b'{"batch":[{"%b":%b,"writeKey":"m"}]}' % (name, value),
            b'{"batch":[{"writeKey":"m"},{"%b":%b}],"writeKey":"n"}' % (name, value),
        ):
            assert scan_write_keys(body) == self.answer_to(name, body)

    @pytest.mark.parametrize("name", NEAR)
    @pytest.mark.parametrize("value", [b'"k"', b"1", b'[{"writeKey":"l"}]'])
    def test_anywhere_else_they_do_not_matter(self, name, value):
        for inner in (b'{"%b":%b}' % (name, value), b'[{"%b":%b}]' % (name, value)):
            assert scan_write_keys(around(inner)) == ("k",)
            body = b'{"writeKey":"k","batch":[{"x":%b}]}' % inner
            assert scan_write_keys(body) == ("k",)
            body = b'{"writeKey":"k","x":{"batch":%b}}' % inner
            assert scan_write_keys(body) == ("k",)

    @pytest.mark.parametrize("octet", range(256))
    def test_a_key_is_of_printable_ascii(self, octet):
        key = b"a%bz" % bytes([octet])
        for body in (
            b'{"writeKey":"%b"}' % key,
            b'{"batch":[{"writeKey":"%b"}]}' % key,
            b'{"writeKey":"k","batch":[{"writeKey":"%b"}]}' % key,
        ):
            assert scan_write_keys(body) == by_the_rule(body)

    @given(
        top=st.sampled_from([None, "k", "l", ""]),
        events=st.lists(st.sampled_from([None, "k", "l", "", "m"]), max_size=5),
        first=st.booleans(),
    )
    def test_the_key_of_the_body_comes_first_and_each_once(self, top, events, first):
        named = [{} if key is None else {"writeKey": key} for key in events]
        alone = {} if top is None else {"writeKey": top}
        members = {**alone, "batch": named} if first else {"batch": named, **alone}
        expected = dict.fromkeys(key for key in [top, *events] if key is not None)
        assert scan_write_keys(json.dumps(members).encode()) == tuple(expected)


class TestWhatSdksSend:
    @pytest.mark.parametrize("indent", [None, 0, 2])
    @pytest.mark.parametrize("ascii_only", [True, False])
    def test_it_is_read(self, indent, ascii_only):
        event = {
            "type": "track",
            "event": 'Order "Completed"',
            "anonymousId": None,
            "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
            "properties": {"name": "Zoë 😀", "total": 30.5, "items": [1, 2e9, -3, []]},
        }
        batch = [{**event, "messageId": number / 7} for number in range(9)]
        body = {"batch": batch, "sentAt": "2026-01-01", "writeKey": "k" * 32}
        text = json.dumps(body, indent=indent, ensure_ascii=ascii_only)
        assert scan_write_keys(text.encode()) == ("k" * 32,)
