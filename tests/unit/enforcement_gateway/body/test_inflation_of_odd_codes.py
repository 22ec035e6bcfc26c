"""Streams that some inflaters read and others refuse (RFC 1951, RFC 1952).

Each is about one rule. Whoever reads more than zlib does sees a body where others see
none, and whoever reads it differently sees another one.
"""

import zlib

import pytest

from enforcement_gateway.body.inflation import Inflation, inflated_at_once
from enforcement_gateway.domain.denials import Reason, Refused

TEXT = b"aaaa"
LITERAL, END, LENGTH = ord("a"), 256, 257
"""What a text of four equal letters is made of: one of them, and three copied."""

FIXED = [8] * 144 + [9] * 112 + [7] * 24 + [8] * 8
ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
COMPLETE = [4] * 13 + [5] * 6
"""Lengths of a code for lengths that leaves no word unused."""


class Stream:
    """Bits of a deflate stream, the lowest of an octet first."""

    def __init__(self):
        self.value = self.size = 0

    def bits(self, value, count):
        self.value |= value << self.size
        self.size += count
        return self

    def word(self, word):
        """Of a Huffman code, which begins with its highest bit."""
        for bit in word:
            self.bits(int(bit), 1)
        return self

    def octets(self):
        return self.value.to_bytes((self.size + 7) // 8, "little")


def words(lengths):
    """The words of a canonical code, by symbol (RFC 1951 section 3.2.2)."""
    given, word, last = {}, 0, 0
    for length, symbol in sorted((n, at) for at, n in enumerate(lengths) if n):
        word <<= length - last
        given[symbol] = f"{word:0{length}b}"
        word, last = word + 1, length
    return given


def literals(size=258, **changed):
    """Lengths of a complete code for the text; `changed` by their symbols."""
    lengths = [0] * size
    for symbol, length in {"_97": 1, "_256": 2, "_257": 2, **changed}.items():
        lengths[int(symbol[1:])] = length
    return lengths


def dynamic(lengths, distances, *, copied="0", code=COMPLETE):
    """The text in a block with codes of its own; `copied` is the word of a distance."""
    stream = Stream().bits(1, 1).bits(2, 2)
    stream.bits(len(lengths) - 257, 5).bits(len(distances) - 1, 5).bits(15, 4)
    for symbol in ORDER:
        stream.bits(code[symbol], 3)
    for length in lengths + distances:
        stream.word(words(code)[length])
    of = words(lengths)
    stream.word(of[LITERAL]).word(of[LENGTH]).word(copied)
    return stream.word(of.get(END, "")).octets()


def fixed(length, distance, extra=0):
    """A letter and a copy, by the fixed codes."""
    of = words(FIXED)
    stream = Stream().bits(1, 1).bits(1, 2).word(of[LITERAL])
    stream.word(of[length]).word(f"{distance:05b}").bits(0, extra)
    return stream.word(of[END]).octets()


def gzipped(deflated, text=TEXT, flags=0, behind_head=b""):
    head = b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + behind_head
    sums = zlib.crc32(text).to_bytes(4, "little") + len(text).to_bytes(4, "little")
    return head + deflated + sums


PLAIN = fixed(LENGTH, 0)
HEAD_SUM = zlib.crc32(b"\x1f\x8b\x08\x02" + bytes(6)) & 0xFFFF
THREE_LENGTHS = [2, 2, 2] + [0] * 13 + [0, 0, 0]

READ = {
    "fixed codes": gzipped(PLAIN),
    "codes of its own": gzipped(dynamic(literals(), [1, 1])),
    "a single distance": gzipped(dynamic(literals(), [1])),
    "a checksum of the head": gzipped(PLAIN, TEXT, 2, HEAD_SUM.to_bytes(2, "little")),
}
REFUSED = {
    "unused words for literals": gzipped(dynamic(literals(_97=2), [1])),
    "too many words for literals": gzipped(dynamic(literals(_98=1), [1])),
    "unused words for distances": gzipped(dynamic(literals(), [2, 2], copied="00")),
    "a single distance of two bits": gzipped(dynamic(literals(), [2], copied="00")),
    "the other word of a single distance": gzipped(
        dynamic(literals(), [1], copied="1")
    ),
    "a distance where there is none": gzipped(dynamic(literals(), [0])),
    "unused words for lengths": gzipped(dynamic(literals(), [1], code=THREE_LENGTHS)),
    "no word for the end": gzipped(dynamic(literals(_97=1, _256=0, _257=1), [1])),
    "287 literals": gzipped(dynamic(literals(287, _257=3, _286=3), [1])),
    "288 literals": gzipped(dynamic(literals(288, _257=3, _287=3), [1])),
    "31 distances": gzipped(dynamic(literals(), [1, *[0] * 29, 1])),
    "32 distances": gzipped(dynamic(literals(), [1, *[0] * 30, 1])),
    "the length 286": gzipped(fixed(286, 0), b"a" * 259),
    "the length 287": gzipped(fixed(287, 0), b"a" * 259),
    "the distance 30": gzipped(fixed(LENGTH, 30, 14)),
    "the distance 31": gzipped(fixed(LENGTH, 31, 14)),
    "a distance too far back": gzipped(fixed(LENGTH, 1)),
    "a block of no kind": gzipped(b"\x07", b""),
    "a stored block of another size": gzipped(b"\x01\x04\x00\xfa\xff" + TEXT),
    "a wrong checksum of the head": gzipped(PLAIN, TEXT, 2, bytes(2)),
    "a reserved flag": gzipped(PLAIN, TEXT, 0x20),
    "another reserved flag": gzipped(PLAIN, TEXT, 0x40),
    "the last reserved flag": gzipped(PLAIN, TEXT, 0x80),
}


def inflated(deflated):
    inflation = Inflation(deflated, 1000)
    while not inflation.step():
        pass
    return inflation.body


@pytest.mark.parametrize("name", READ)
def test_what_keeps_the_rules_is_read(name):
    assert zlib.decompress(READ[name], 16 + zlib.MAX_WBITS) == TEXT
    assert inflated_at_once(READ[name], 1000) == inflated(READ[name]) == TEXT


@pytest.mark.parametrize("name", REFUSED)
def test_what_breaks_one_is_refused_as_by_zlib(name):
    with pytest.raises(zlib.error):
        zlib.decompress(REFUSED[name], 16 + zlib.MAX_WBITS)
    assert inflated_at_once(REFUSED[name], 1000) is None
    with pytest.raises(Refused) as refused:
        inflated(REFUSED[name])
    assert refused.value.reason is Reason.BODY_UNREADABLE
