"""Heads of requests that were read before: the same octets say the same again.

Clients of one kind send one head, each of them and each time, so that a parser is
asked for the first alone. A head is known by all of its octets, and what may follow it
by the `Content-Length` among them: a request is found here if it is the octets that a
parser between two requests would read as just that request, and end between two again.
Beside it is kept of what kind such a request is, which is for the front to say.
"""

import re
from typing import Generic, NamedTuple, TypeVar

from aiohttp.hdrs import CONTENT_LENGTH
from aiohttp.http_parser import RawRequestMessage

MAX_HEADS = 256
MAX_LENGTH = 2048
"""Octets of a head that is worth to be remembered."""

_END = b"\r\n\r\n"
_PLAIN = re.compile(
    # Nothing that one parser may take for the end of a line or of the head, and
    # another not.
    rb"[A-Z]+ [!-~]+ HTTP/1\.1\r\n(?:[!-9;-~]+:[\t -~\x80-\xff]*\r\n)+\r\n"
).fullmatch


KindT = TypeVar("KindT")


class Familiar(NamedTuple, Generic[KindT]):
    """`kind` is what was made of the head; `length` counts octets, body and all."""

    head: RawRequestMessage
    kind: KindT
    length: int


class FamiliarHeads(Generic[KindT]):
    def __init__(self) -> None:
        self._known: dict[bytes, Familiar[KindT]] = {}

    def read(self, octets: bytes) -> tuple[Familiar[KindT], bytes] | None:
        """Head and body of the request that `octets` are, if its head is known."""
        end = octets.find(_END) + len(_END)
        familiar = self._known.get(octets[:end])
        if familiar is None or familiar.length != len(octets):
            return None
        return familiar, octets[end:]

    def learn(self, octets: bytes, head: RawRequestMessage, kind: KindT) -> bool:
        """Whether `octets`, from which `head` was read, are its request and no more.

        Then it is known from now on.
        """
        end = octets.find(_END) + len(_END)
        length = head.headers.get(CONTENT_LENGTH)
        if (
            end > MAX_LENGTH
            or not _PLAIN(octets, 0, end)
            or head.chunked
            or head.upgrade
            or head.compression  # its body may be given on as something else
            or length is None
            or len(octets) != end + int(length)
        ):
            return False
        if len(self._known) >= MAX_HEADS:
            self._known.clear()
        self._known[octets[:end]] = Familiar(head, kind, len(octets))
        return True
