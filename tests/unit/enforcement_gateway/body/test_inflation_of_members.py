"""gzip as RFC 1952 has it: all members, and the end exactly where it is."""

import gzip
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcement_gateway.body.inflation import (
    SLICE_IN,
    SLICE_OUT,
    Inflation,
    inflated_at_once,
)
from enforcement_gateway.domain.denials import Reason, Refused


def inflate(deflated, limit=10_000_000):
    body = finish(Inflation(deflated, limit))
    assert inflated_at_once(deflated, limit) in (None, body)
    return body


def finish(inflation):
    while not inflation.step():
        pass
    return inflation.body


def refusal(deflated, limit=10_000_000):
    assert inflated_at_once(deflated, limit) is None
    with pytest.raises(Refused) as refused:
        inflate(deflated, limit)
    return refused.value.reason


def by_zlib(deflated):
    """All members, each to its end, or `zlib.error`."""
    inflated = b""
    while deflated:
        member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        inflated += member.decompress(deflated)
        if not member.eof:
            raise zlib.error
        deflated = member.unused_data
    return inflated


def damaged(packed, spoilt, cut):
    """It, with some octets at some places, and without so many at its end."""
    octets = bytearray(packed)
    for at, octet in spoilt:
        octets[at % len(octets)] = octet
    return bytes(octets[: len(octets) - cut])


def check_beside_zlib(deflated):
    """Two implementations: whatever one refuses, the other must not take."""
    try:
        expected = by_zlib(deflated)
    except zlib.error:
        assert refusal(deflated) is Reason.BODY_UNREADABLE
    else:
        assert inflate(deflated) == expected


SIZES = st.sampled_from(
    [0, 1, 100, SLICE_IN, SLICE_OUT - 1, SLICE_OUT, SLICE_OUT + 1, 3 * SLICE_OUT]
)


NOISE = bytes(random.Random(1).choices(range(256), k=3 * SLICE_IN))  # noqa: S311
LONG_ONES = [
    gzip.compress(NOISE, mtime=0),
    gzip.compress(NOISE + bytes(2 * SLICE_OUT) + NOISE, mtime=0),
    gzip.compress(bytes(SLICE_OUT), mtime=0) + gzip.compress(NOISE, 0, mtime=0),
    gzip.compress(NOISE[:5] * SLICE_OUT, mtime=0) * 2,
]
"""More than a slice of what is taken in, or of what comes out, or of both."""

PACKED = gzip.compress(b"{}", mtime=0)
REFUSED = [
    PACKED[:-1],
    PACKED[:-8] + bytes(8),  # another checksum and size
    PACKED[:-1] + b"\x01",
    PACKED[:3] + b"\xe0" + PACKED[4:],  # reserved flags
    PACKED[:10] + b"\x03\x02\x00" + PACKED[-8:],  # a distance too far back
    PACKED + b"\x00",
    PACKED + PACKED[:12],
    gzip.compress(bytes(1001)),
    gzip.compress(bytes(SLICE_OUT)),
    gzip.compress(NOISE),
]


class TestMembers:
    @given(
        sizes=st.lists(SIZES, min_size=1, max_size=5), level=st.sampled_from([0, 1, 9])
    )
    def test_all_of_them_make_the_body(self, sizes, level):
        parts = [bytes([65 + n]) * size for n, size in enumerate(sizes)]
        deflated = b"".join(gzip.compress(part, level) for part in parts)
        assert inflate(deflated) == b"".join(parts)

    @given(data=st.binary(max_size=300), cut=st.integers(0, 400))
    def test_no_cut_gives_a_body(self, data, cut):
        deflated = gzip.compress(data)
        cut %= len(deflated)
        if cut:
            assert refusal(deflated[:cut]) is Reason.BODY_UNREADABLE
            assert refusal(deflated + deflated[:cut]) is Reason.BODY_UNREADABLE

    @given(data=st.binary(max_size=300), rubbish=st.binary(min_size=1, max_size=20))
    def test_rubbish_behind_it_is_never_overlooked(self, data, rubbish):
        if not rubbish.startswith(b"\x1f\x8b"):
            assert refusal(gzip.compress(data) + rubbish) is Reason.BODY_UNREADABLE

    @given(
        data=st.binary(max_size=200),
        often=st.integers(1, 2000),
        members=st.integers(1, 4),
    )
    def test_agrees_with_the_gzip_of_the_library(self, data, often, members):
        deflated = gzip.compress(data * often) * members
        assert inflate(deflated) == gzip.decompress(deflated)

    def test_output_held_back_by_zlib_is_waited_for(self):
        """The last input may be taken in long before its output is out."""
        data = bytes(50 * SLICE_OUT)
        deflated = gzip.compress(data)
        assert len(deflated) < SLICE_IN
        assert inflate(deflated) == data

    @given(
        text=st.sampled_from([b"", b"{}", b"abc" * 200, bytes(range(256)) * 4]),
        level=st.sampled_from([0, 1, 9]),
        members=st.integers(1, 2),
        spoilt=st.lists(
            st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=3
        ),
        cut=st.integers(0, 3),
    )
    def test_agrees_with_zlib_on_damaged_gzip(self, text, level, members, spoilt, cut):
        packed = gzip.compress(text, level, mtime=0) * members
        check_beside_zlib(damaged(packed, spoilt, cut))

    @settings(max_examples=30)
    @given(
        packed=st.sampled_from(LONG_ONES),
        spoilt=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255))),
        cut=st.integers(0, 3),
    )
    def test_agrees_with_zlib_across_slices(self, packed, spoilt, cut):
        check_beside_zlib(damaged(packed, spoilt[:2], cut))

    @given(deflated=st.one_of(st.binary(max_size=40), st.sampled_from(REFUSED)))
    def test_what_was_refused_is_refused_again(self, deflated):
        inflation = Inflation(deflated, 1000)
        reasons = set()
        for _ in range(4):
            with pytest.raises(Refused) as refused:
                finish(inflation)
            reasons.add(refused.value.reason)
            assert not inflation.is_complete
        assert len(reasons) == 1

    @pytest.mark.parametrize("deflated", REFUSED[:7])
    def test_zlib_refuses_the_same(self, deflated):
        with pytest.raises(zlib.error):
            by_zlib(deflated)
        assert refusal(deflated) is Reason.BODY_UNREADABLE

    def test_a_member_may_end_with_a_slice(self):
        first = gzip.compress(NOISE[: SLICE_IN - 23], 0)
        assert len(first) == SLICE_IN
        assert inflate(first + PACKED) == NOISE[: SLICE_IN - 23] + b"{}"
        assert refusal(first + b"\x00") is Reason.BODY_UNREADABLE

    def test_what_is_complete_stays_so(self):
        inflation = Inflation(gzip.compress(b"{}") * 2, 1000)
        assert [inflation.step() for _ in range(4)] == [False, True, True, True]
        assert inflation.body == b"{}{}"

    @pytest.mark.parametrize("wbits", [zlib.MAX_WBITS, -zlib.MAX_WBITS])
    def test_zlib_and_raw_deflate_are_not_gzip(self, wbits):
        packer = zlib.compressobj(wbits=wbits)
        deflated = packer.compress(b"{}") + packer.flush()
        assert refusal(deflated) is Reason.BODY_UNREADABLE


class TestAtOnce:
    @pytest.mark.parametrize(
        ("body", "limit"),
        [(b"{}", 2), (b"", 0), (bytes(SLICE_OUT - 1), SLICE_OUT), (NOISE[:9999], 9999)],
    )
    def test_one_member_is_inflated_by_one_step(self, body, limit):
        assert inflated_at_once(gzip.compress(body), limit) == body

    @pytest.mark.parametrize("deflated", [PACKED * 2, *LONG_ONES], ids=len)
    def test_what_takes_more_is_left_to_an_inflation(self, deflated):
        assert inflated_at_once(deflated, 10_000_000) is None
        assert inflate(deflated) == by_zlib(deflated)


class TestLimits:
    def test_the_limit_is_of_all_members_together(self):
        deflated = gzip.compress(bytes(600)) + gzip.compress(bytes(600))
        assert len(inflate(deflated, 1200)) == 1200
        assert refusal(deflated, 1199) is Reason.BODY_INFLATES_TOO_LARGE

    def test_the_limit_is_of_a_single_member_too(self):
        deflated = gzip.compress(bytes(600))
        assert len(inflate(deflated, 600)) == 600
        assert refusal(deflated, 599) is Reason.BODY_INFLATES_TOO_LARGE

    def test_a_bomb_is_left_after_one_slice_too_many(self):
        inflation = Inflation(gzip.compress(bytes(100 * 1024 * 1024)), 1024 * 1024)
        for _ in range(1024 * 1024 // SLICE_OUT):
            assert not inflation.step()
        with pytest.raises(Refused):
            inflation.step()
