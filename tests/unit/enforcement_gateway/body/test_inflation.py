"""gzip: every member, a slice at a time, and never more than the limit."""

import contextlib
import gzip
import random
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcement_gateway.body.inflation import SLICE_OUT, Inflation
from enforcement_gateway.domain.denials import Reason, Refused

LIMIT = 256 * 1024


def inflated(body: bytes, limit: int = LIMIT) -> bytes:
    inflation = Inflation(body, limit)
    while not inflation.step():
        pass
    return inflation.body


def refusal_of(body: bytes, limit: int = LIMIT) -> Reason:
    with pytest.raises(Refused) as refused:
        inflated(body, limit)
    return refused.value.reason


MEMBERS = st.lists(
    st.tuples(
        st.one_of(
            st.binary(max_size=300),
            st.integers(0, 40_000).map(lambda size: b"a" * size),
        ),
        st.sampled_from([0, 1, 9]),
    ),
    min_size=1,
    max_size=5,
)


def compressed(members: list[tuple[bytes, int]]) -> bytes:
    return b"".join(gzip.compress(text, level) for text, level in members)


class TestMembers:
    @given(MEMBERS)
    def test_all_of_them_are_read(self, members: list[tuple[bytes, int]]) -> None:
        whole = b"".join(text for text, _ in members)
        assert inflated(compressed(members)) == whole
        assert gzip.decompress(compressed(members)) == whole

    def test_a_thousand_empty_ones_are_nothing(self) -> None:
        assert inflated(gzip.compress(b"") * 1000 + gzip.compress(b"{}")) == b"{}"

    def test_what_hardly_compresses_spans_slices(self) -> None:
        noise = random.Random(1).randbytes(200_000)  # noqa: S311
        assert inflated(gzip.compress(noise)) == noise
        assert inflated(gzip.compress(noise[:100_000]) * 2) == noise[:100_000] * 2

    def test_a_member_with_a_name_and_a_comment(self) -> None:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = deflate.compress(b"{}") + deflate.flush()
        head = b"\x1f\x8b\x08\x18" + bytes(6) + b"name\x00comment\x00"
        tail = zlib.crc32(b"{}").to_bytes(4, "little") + b"\x02\x00\x00\x00"
        assert inflated(head + data + tail) == b"{}"


class TestUnreadable:
    @given(MEMBERS, st.data())
    def test_cut_short_anywhere(
        self, members: list[tuple[bytes, int]], data: st.DataObject
    ) -> None:
        last = compressed(members[-1:])
        cut = data.draw(st.integers(1, len(last) - 1))
        body = compressed(members[:-1]) + last[:cut]
        assert refusal_of(body) is Reason.BODY_UNREADABLE

    @pytest.mark.parametrize(
        "behind",
        [b"\x00", b"\x00" * 512, b"x", b"{}", b"\x1f\x8b", zlib.compress(b"{}")],
    )
    def test_anything_behind_a_member(self, behind: bytes) -> None:
        body = gzip.compress(b"{}") + behind
        assert refusal_of(body) is Reason.BODY_UNREADABLE
        assert refusal_of(body + gzip.compress(b"{}")) is Reason.BODY_UNREADABLE

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{}",
            zlib.compress(b"{}"),
            zlib.compress(b"{}", wbits=-zlib.MAX_WBITS),
            b"\x1f\x8b",
            b"\x1f\x8b\x07" + gzip.compress(b"{}")[3:],
            gzip.compress(b"{}")[:-8] + bytes(8),
            gzip.compress(b"{}")[:-4] + b"\x03\x00\x00\x00",
        ],
        ids=[
            "nothing",
            "plain",
            "zlib",
            "deflate",
            "two octets",
            "another method",
            "wrong checksum",
            "wrong size",
        ],
    )
    def test_what_is_not_gzip(self, body: bytes) -> None:
        assert refusal_of(body) is Reason.BODY_UNREADABLE

    @given(st.binary(max_size=100))
    def test_rubbish_is_refused_and_nothing_else_happens(self, body: bytes) -> None:
        try:
            expected = gzip.decompress(body)
        except (OSError, EOFError, zlib.error):
            expected = None
        if not body or expected is None:
            assert refusal_of(body) is Reason.BODY_UNREADABLE


class TestLimit:
    def test_it_may_be_reached(self) -> None:
        assert len(inflated(gzip.compress(bytes(LIMIT)))) == LIMIT

    def test_and_not_exceeded(self) -> None:
        for body in (
            gzip.compress(bytes(LIMIT + 1)),
            gzip.compress(bytes(LIMIT)) + gzip.compress(b"x"),
        ):
            assert refusal_of(body) is Reason.BODY_INFLATES_TOO_LARGE

    def test_a_bomb_never_takes_more_than_a_slice_beyond_it(self) -> None:
        inflation = Inflation(gzip.compress(bytes(50_000_000)), LIMIT)
        sizes = [0]
        with contextlib.suppress(Refused):
            while not inflation.step():
                sizes.append(inflation.size)
        assert max(after - before for before, after in pairwise(sizes)) <= SLICE_OUT
        assert sizes[-1] <= LIMIT < inflation.size <= LIMIT + SLICE_OUT

    def test_steps_are_small(self) -> None:
        inflation = Inflation(gzip.compress(bytes(LIMIT)), LIMIT)
        steps = 1
        while not inflation.step():
            steps += 1
        assert steps >= LIMIT // SLICE_OUT
