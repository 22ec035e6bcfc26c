"""Every write key of a body: the strict rule, and the quick way that must agree."""

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enforcement_gateway.body.known_keys import MAX_KNOWN
from enforcement_gateway.body.scanner import scan_write_keys
from enforcement_gateway.body.write_keys import (
    MOST_NAMES,
    index_write_keys,
    keys_spelt,
    keys_spelt_at_most,
    parse_write_keys,
    read_write_keys,
    read_write_keys_quickly,
    read_write_keys_strictly,
)
from enforcement_gateway.domain.denials import Reason, Refused

SPELLINGS = [
    b'"writeKey"',
    b'"WRITEKEY"',
    b'"batch"',
    b'"bATCH"',
    b'"writeKe',
    b'y"',
    b'"atch"',
    b'"b',
    b"writeKey",
    b'"',
    b"k",
    b"H",
    b"\\u006b",
    b"\\n",
    "\u212a".encode(),
    "\u00e9".encode(),
    '"WRITE\u212aEY"'.encode(),
    '"wr\u0131teKey"'.encode(),
    '"WR\u0130TEKEY"'.encode(),
    b"\xff",
]
SPELT_KEY = re.compile('"wr[i\u0130\u0131]te[k\u212a]ey"', re.IGNORECASE)

IN_DOUBT = -1

READABLE = [
    (b"{}", ()),
    (b' \r\n\t{"a":1} \n', ()),
    (b'{"writeKey":"k"}', ("k",)),
    (b'{"writeKey" :\n"k" }', ("k",)),
    (b'{"writeKey":"k","batch":[]}', ("k",)),
    (
        b'{"batch":[{"writeKey":"a"},{},{"writeKey":"b"}],"writeKey":"c"}',
        ("c", "a", "b"),
    ),
    (b'{"writeKey":"k","batch":[{"writeKey":"k"}]}', ("k",)),
    # names of any kind where nobody looks for them
    (b'{"batch":[{"properties":{"WriteKey":"x","batch":1,"writekey":2}}]}', ()),
    (b'{"batch":[{"Batch":[{"writeKey":"x"}]}]}', ()),
    (b'{"context":{"writeKey":"x"}}', ()),
    # the same words as values
    (b'{"event":"writekey","name":"\\"writeKey\\"","type":"batch","x":["Batch"]}', ()),
    (b'{"writeKey":"writeKey","batch":[{"event":"WRITEKEY"}]}', ("writeKey",)),
    # escapes that spell something else, or a value
    (b'{"writeKey":"\\u006b"}', ("k",)),
    (b'{"writ\\u0065":1,"a\\u0062":{"writ\\u0065Key":1}}', ()),
    (b'{"write\\\\u004bey":1}', ()),
    (b'{"\\bu0077riteKey":1,"\\/u0062atch":1}', ()),
    # JSON that other parsers stumble over
    (b'{"writeKey":"k","x":"\\ud83d"}', ("k",)),
    (b'{"x":' + b"9" * 10_000 + b"}", ()),
    (b'{"x":1e999,"y":-0,"z":1E+2}', ()),
    (b'{"writeKey":"k","a":1,"a":2}', ("k",)),
    (b'{"writeKey":"k","x":[' + b"[]," * 49_000 + b"1]}", ("k",)),
    (b'{"writeKey":"k","x":"' + b"y" * 2_000_000 + b'"}', ("k",)),
    ('{"writeKey":"k","x":"Øé😀"}'.encode(), ("k",)),
]

UNREADABLE = {
    "nothing": b"",
    "a space": b" ",
    "an array": b'[{"writeKey":"k"}]',
    "an array of pairs": b'[["writeKey","k"]]',
    "a string": b'"writeKey"',
    "null": b"null",
    "two documents": b'{"writeKey":"k"}{"writeKey":"l"}',
    "something behind it": b'{"writeKey":"k"}x',
    "NUL behind it": b'{"writeKey":"k"}\x00',
    "a key that is not UTF-8": b'{"writeKey":"\xff"}',
    "a value that is not UTF-8": b'{"writeKey":"k","x":"\xff"}',
    "a BOM": b'\xef\xbb\xbf{"writeKey":"k"}',
    "UTF-16": '{"writeKey":"k"}'.encode("utf-16"),
    "UTF-16 without BOM": '{"writeKey":"k"}'.encode("utf-16-le"),
    "UTF-32": '{"writeKey":"k"}'.encode("utf-32"),
    "Latin-1": '{"x":"é"}'.encode("latin-1"),
    "overlong UTF-8": b'{"x":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"x":"\xed\xa0\x80"}',
    "NaN": b'{"writeKey":"k","x":NaN}',
    "Infinity": b'{"x":-Infinity}',
    "a trailing comma": b'{"writeKey":"k",}',
    "a comment": b'{"writeKey":"k"/**/}',
    "single quotes": b"{'writeKey':'k'}",
    "a control character": b'{"x":"\x01"}',
    "a raw line end in a string": b'{"x":"\n"}',
    "a leading zero": b'{"x":01}',
    "a plus": b'{"x":+1}',
    "a bare point": b'{"x":.5}',
    "hex": b'{"x":0x1}',
    "an unknown escape": b'{"x":"\\x41"}',
    "a short escape": b'{"x":"\\u41"}',
    "a vertical tab": b'\x0b{"writeKey":"k"}',
    "nested beyond all reason": b'{"x":' * 100_000,
    "nested and closed": b'{"x":' * 20_000 + b"1" + b"}" * 20_000,
    "nothing but brackets": b'{"x":[' + b"[]," * 50_000 + b"1]}",
    "nothing but objects": b'{"batch":[' + b"{}," * 50_000 + b"{}]}",
    "nothing but members": b"{" + b'"a":1,' * 100_001 + b'"b":1}',
    # the key
    "the key twice": b'{"writeKey":"k","writeKey":"l"}',
    "the same key twice": b'{"writeKey":"k","writeKey":"k"}',
    "lower case": b'{"writekey":"k"}',
    "upper case": b'{"WRITEKEY":"k"}',
    "another case beside it": b'{"writeKey":"k","WriteKey":"l"}',
    "kelvin": '{"write\u212aey":"k"}'.encode(),
    "kelvin beside it": '{"writeKey":"k","write\u212aey":"l"}'.encode(),
    "kelvin as an escape": b'{"write\\u212aey":"k"}',
    "KELVIN as an escape": b'{"write\\u212Aey":"k"}',
    "dotless i": '{"wr\u0131teKey":"k"}'.encode(),
    "dotted I": '{"WR\u0130TEKEY":"k"}'.encode(),
    "an escape": b'{"writ\\u0065Key":"k"}',
    "an escape beside it": b'{"writeKey":"k","\\u0077riteKey":"l"}',
    "an escape in another case": b'{"writ\\u0045key":"k"}',
    "all in escapes": b'{"\\u0077\\u0072\\u0069\\u0074\\u0065'
    b'\\u004b\\u0065\\u0079":"k"}',
    "an escape behind escapes": b'{"x\\\\":1,"writ\\u0065Key":"k"}',
    "null for a key": b'{"writeKey":null}',
    "a number for a key": b'{"writeKey":1}',
    "a list for a key": b'{"writeKey":["k"]}',
    "an object for a key": b'{"writeKey":{"writeKey":"k"}}',
    "a key with NUL": b'{"writeKey":"k\\u0000"}',
    "a key with a lone surrogate": b'{"writeKey":"\\ud800"}',
    "a key with a line end": b'{"writeKey":"k\\n"}',
    "a key beyond ASCII": '{"writeKey":"ké"}'.encode(),
    # the batch
    "the batch twice": b'{"batch":[],"batch":[{"writeKey":"k"}]}',
    "a Batch": b'{"Batch":[{"writeKey":"k"}]}',
    "a Batch beside it": b'{"batch":[],"BATCH":[{"writeKey":"k"}]}',
    "an escaped batch": b'{"b\\u0061tch":[{"writeKey":"k"}]}',
    "an escaped batch beside it": b'{"batch":[],"b\\u0061tch":[]}',
    "a batch that is an object": b'{"batch":{"writeKey":"k"}}',
    "a batch that is null": b'{"batch":null}',
    "a batch of lists": b'{"batch":[[{"writeKey":"k"}]]}',
    "a batch with null": b'{"batch":[{},null]}',
    "a batch of strings": b'{"batch":["writeKey"]}',
    # its events
    "an event's key twice": b'{"batch":[{"writeKey":"k","writeKey":"k"}]}',
    "an event's key in another case": b'{"batch":[{},{"WriteKey":"k"}]}',
    "an event's key in escapes": b'{"batch":[{},{"writ\\u0065Key":"k"}]}',
    "an event's key in kelvin": '{"batch":[{"write\u212aey":"k"}]}'.encode(),
    "an event's key beyond ASCII": '{"batch":[{"writeKey":"ké"}]}'.encode(),
    "an event's key with NUL": b'{"writeKey":"k","batch":[{"writeKey":"k\\u0000"}]}',
    "an event's key that is null": b'{"batch":[{"writeKey":null}]}',
}


@pytest.mark.parametrize("read", [read_write_keys, read_write_keys_strictly])
class TestRule:
    @pytest.mark.parametrize(("body", "keys"), READABLE)
    def test_keys_are_found(self, read, body, keys):
        assert read(body) == keys

    @pytest.mark.parametrize("name", UNREADABLE)
    def test_what_could_be_read_in_two_ways_is_refused(self, read, name):
        with pytest.raises(Refused) as refused:
            read(UNREADABLE[name])
        assert refused.value.reason is Reason.BODY_UNREADABLE


def strict_or_none(body):
    try:
        return read_write_keys_strictly(body)
    except Refused:
        return None


NAMES = st.sampled_from(
    [
        *("writeKey", "writekey", "WriteKey", "write\u212aey", "wr\u0131teKey"),
        *("batch", "Batch", "ba\\tch", "type", "context", "k", "", "writeKeys"),
    ]
)
SPELT = NAMES.map(json.dumps) | st.sampled_from(
    ['"writ\\u0065Key"', '"\\u0042atch"', '"b\\u0061tch"', '"a\\\\u0065"', '"\\b"']
)
LEAVES = st.sampled_from(
    [
        *('"k"', '"l"', '"writeKey"', '"\\"batch\\""', '"\\u006b"', '"\\ud800"', "1"),
        *("null", "true", "1.5e3", "NaN", "-0", "01", '"\u00e9"', '"\\n"', '"', "[]"),
    ]
)


def joined(opening, closing):
    return lambda parts: opening + ",".join(parts) + closing


DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3).map(joined("[", "]"))
        | st.lists(st.tuples(SPELT, inner).map(":".join), max_size=4).map(
            joined("{", "}")
        )
    ),
    max_leaves=12,
)
MEMBERS = st.tuples(
    SPELT, DOCUMENTS | st.lists(DOCUMENTS, max_size=3).map(joined("[", "]"))
)
BODIES = st.lists(MEMBERS.map(":".join), max_size=5).map(joined("{", "}")) | DOCUMENTS


QUICK_WAYS = pytest.mark.parametrize(
    "read",
    [read_write_keys_quickly, parse_write_keys, scan_write_keys, index_write_keys],
)


@QUICK_WAYS
class TestQuickWays:
    """Where one answers, it is that of the rule. Where not, the rule decides."""

    @given(body=BODIES)
    @example(body='{"batch":[{"batch":1}]}')
    @example(body='{"writeKey":"k","x":{"writeKey":"k","WRITEKEY":1}}')
    def test_agree_on_bodies_built_to_confuse(self, read, body):
        octets = body.encode("utf-8", "surrogatepass")
        quick = read(octets)
        assert quick is None or quick == strict_or_none(octets)

    @given(body=BODIES, at=st.integers(0, 200), octet=st.integers(0, 255))
    def test_agree_on_bodies_with_a_spoilt_octet(self, read, body, at, octet):
        octets = bytearray(body.encode("utf-8", "surrogatepass"))
        octets[at % len(octets)] = octet
        quick = read(bytes(octets))
        assert quick is None or quick == strict_or_none(bytes(octets))

    @given(body=st.binary(max_size=60))
    def test_agree_on_any_octets(self, read, body):
        quick = read(body)
        assert quick is None or quick == strict_or_none(body)

    @pytest.mark.parametrize(("body", "keys"), READABLE)
    def test_find_no_other_keys(self, read, body, keys):
        assert read(body) in (None, keys)

    @pytest.mark.parametrize("name", UNREADABLE)
    def test_take_nothing_that_the_rule_refuses(self, read, name):
        assert read(UNREADABLE[name]) is None

    @pytest.mark.parametrize(
        "depth", [50, 59, 60, 61, 62, 64, 100, 500, 900, *range(1010, 1030)]
    )
    def test_read_any_depth_that_the_rule_reads(self, read, depth):
        body = b'{"writeKey":"k","x":%b1%b}' % (b"[" * depth, b"]" * depth)
        assert read(body) in (None, strict_or_none(body))

    def test_read_what_sdks_send(self, read):
        event = {
            "type": "track",
            "event": "Order Completed",
            "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
            "properties": {"name": "Zoë", "total": 30.5},
        }
        body = {"batch": [event] * 5, "sentAt": "2026-01-01", "writeKey": "k"}
        assert read(json.dumps(body).encode()) == ("k",)
        assert read(json.dumps(body, ensure_ascii=False).encode()) == ("k",)

    def test_read_what_browsers_send(self, read):
        """Every event names the key as well."""
        event = {"type": "page", "writeKey": "k", "properties": {"writeKey": ""}}
        body = {"writeKey": "k", "batch": [event, {**event, "writeKey": "l"}]}
        assert read_write_keys_strictly(json.dumps(body).encode()) == ("k", "l")
        assert read(json.dumps(body).encode()) in (("k", "l"), None)

    @given(body=BODIES, gap=st.sampled_from([16 * 1024, 64 * 1024, 512 * 1024]))
    def test_agree_on_large_bodies(self, read, body, gap):
        octets = body.encode("utf-8", "surrogatepass") + b" " * gap
        quick = read(octets)
        assert quick is None or quick == strict_or_none(octets)


class TestIndex:
    """What it must not decline: else it agrees with everybody."""

    @pytest.mark.parametrize(
        ("body", "keys"),
        [
            (b"{}", ()),
            (b'{"writeKey":"k"}', ("k",)),
            (b' {"writeKey":"k", "batch":[ ]}\n', ("k",)),
            (b'{"batch":[{"writeKey":"a"},{}],"writeKey":"c"}', ("c", "a")),
            (b'{"batch":[{},{"writeKey":"a"},{"writeKey":"a"}]}', ("a",)),
            (b'{"x":{"\\n":"\xc3\xa9"},"y":[1.5e-3,-0,true,null]}', ()),
            (b'{"writeKey":"k","x":%b}' % (b"[" * 1000 + b"]" * 1000), ("k",)),
            (b'{"batch":[{"writeKey":"a","x":"batch"}],"y":{"batch":1}}', ("a",)),
        ],
    )
    def test_answers_what_is_plain(self, body, keys):
        for _ in range(2):  # nothing of the first is in the way
            assert index_write_keys(body) == keys
        assert read_write_keys_strictly(body) == keys

    @pytest.mark.parametrize(
        "body",
        [
            b'{"batch":[],"batch":[]}',
            b'{"Batch":[],"writeKey":"k"}',
            b'{"Batch":[],"batch":[{"writeKey":"k"}]}',
            b'{"batch":{}}',
            b'{"batch":[{},1]}',
            b'{"batch":[[],{}],"writeKey":"k"}',
            b'{"batch":[],"writeKey":1}',
            b'{"batch":[],"batc\\u0068":[],"writeKey":"k"}',
            b'\xef\xbb\xbf{"writeKey":"k"}',
            json.dumps({str(n): n for n in range(MOST_NAMES + 1)}).encode(),
        ],
    )
    def test_declines_what_is_odd(self, body):
        assert index_write_keys(body) is None


class TestSearch:
    @given(
        pieces=st.lists(st.sampled_from(SPELLINGS), max_size=8),
        gap=st.sampled_from([0, 1, 15, 16, 31, 32, 63, 64, 65]),
    )
    def test_counts_every_spelling_wherever_it_stands(self, pieces, gap):
        body = (b"." * gap).join(pieces)
        folded = body.lower()
        counted = keys_spelt(body, folded.count(b'"batch"'))
        assert counted in (folded.count(b'"writekey"'), IN_DOUBT)
        if body.isascii() and b"\\" not in body:
            assert counted != IN_DOUBT
        more = folded.count(b'"batch"') + 1
        assert keys_spelt(body, more) == IN_DOUBT

    @given(
        pieces=st.lists(st.sampled_from(SPELLINGS), max_size=8),
        gap=st.sampled_from([0, 1, 15, 16, 31, 32, 63, 64, 65]),
    )
    def test_counts_no_fewer_than_there_are(self, pieces, gap):
        body = (b"." * gap).join(pieces)
        counted = keys_spelt_at_most(body)
        spelt = SPELT_KEY.findall(body.decode(errors="replace"))
        assert counted == IN_DOUBT or counted >= len(spelt)
        if b"\\u006b" in body:
            assert counted == IN_DOUBT

    @pytest.mark.parametrize("letter", sorted({*"writekeybatch", *"WRITEKEYBATCH"}))
    def test_is_in_doubt_about_an_escaped_letter(self, letter):
        self.check_that_its_escape_is_in_doubt(letter)

    @pytest.mark.parametrize("letter", "\u0130\u0131\u212a")
    def test_is_in_doubt_about_an_escaped_letter_that_folds_to_one(self, letter):
        self.check_that_its_escape_is_in_doubt(letter)

    def check_that_its_escape_is_in_doubt(self, letter):
        for digits in (b"%04x" % ord(letter), b"%04X" % ord(letter)):
            body = b'{"\\u00e9\\n":"\\u%b"}' % digits
            assert keys_spelt_at_most(body) == IN_DOUBT
            assert keys_spelt(body, 0) == IN_DOUBT

    @pytest.mark.parametrize("text", ["é", "я", "ľ", "日本", "\n", '"', "\\", "W"])
    def test_other_letters_and_escapes_leave_no_doubt(self, text):
        for body in ({"writeKey": "k", "x": text}, {"writeKey": text, "w": text}):
            for octets in (json.dumps(body), json.dumps(body, ensure_ascii=False)):
                assert keys_spelt_at_most(octets.encode()) == 1
                assert keys_spelt(octets.encode(), 0) == 1

    def test_counts_one_where_one_begins_as_the_key_does(self):
        assert keys_spelt_at_most(b'{"wrong":"k"}') == 1
        assert keys_spelt_at_most(b'{"writeKey":"wk"}') == 1
        assert keys_spelt_at_most(b'{"wrong":"x","W":1}') == 0


@QUICK_WAYS
class TestKeysSeenBefore:
    @pytest.mark.parametrize("key", ["k", "", "k" * 500, "a b"])
    def test_are_read_alike_again(self, read, key):
        body = json.dumps({"writeKey": key}).encode()
        assert read(body) == (key,)
        assert read(body) == (key,)

    @pytest.mark.parametrize("key", ["k\n", "k\u0000", "ké"])
    def test_what_is_no_key_does_not_become_one(self, read, key):
        body = json.dumps({"writeKey": key}, ensure_ascii=False).encode()
        for _ in range(2):
            assert read(body) is None

    def test_are_not_kept_for_ever(self, read):
        """More keys than are kept are read all the same."""
        for number in range(MAX_KNOWN + 2):
            body = b'{"writeKey":"key-%d"}' % number
            assert read(body) == (f"key-{number}",)
