"""Heads of answers that an upstream has given before, and what they meant.

An upstream that takes events says the same each time, but for the date. So the heads
of answers that came whole are kept as bytes, each with what the parser made of it.
"""

from enforcement_gateway import pieces
from enforcement_gateway.upstream.answers import AnswerHead, KnownHead

MAX_KNOWN = 256
"""Heads kept. An upstream whose every head differs costs no more than this."""


class KnownAnswers:
    """Of one upstream. Only what leaves no doubt is kept: see `learn`.

    `_said` is the last answer whose head was known, which is often said again, and
    `body` that of it.
    """

    __slots__ = ("_heads", "_last", "_said", "body")

    def __init__(self) -> None:
        self._heads: dict[bytes, KnownHead] = {}
        self._last: KnownHead | None = None
        self._said: bytes | None = None
        self.body = b""

    def recognise(self, data: bytes) -> KnownHead | None:
        """The head of `data`, if that is one whole answer with a known one.

        What follows the head in `data` is then the `body`, and nothing more.
        """
        known = self._last
        if data == self._said:
            return known
        if (
            known is None
            or len(data) != known.size
            or not pieces.begins(data, known.octets, 0)
        ):
            known = self._heads.get(data[: data.find(_END) + _SIZE_OF_END])
            if known is None or len(data) != known.size:
                return None
            self._last = known
        self._said = data
        self.body = data[known.end :]
        return known

    def learn(self, data: bytes, head: AnswerHead) -> None:
        """Keep the head of an answer that came as `data`, alone and whole.

        It must have told its length, and have left the connection open. One that sends
        the client elsewhere is for somebody to look at each time.
        """
        end = data.find(_END) + _SIZE_OF_END
        length = head.length
        if length is None or len(data) - end != length or head.status in _REDIRECTIONS:
            return
        if len(self._heads) >= MAX_KNOWN:
            self._heads.clear()
            self._last = self._said = None
        octets = data[:end]
        self._heads[octets] = KnownHead(head, octets, length)


_END = b"\r\n\r\n"
_SIZE_OF_END = len(_END)
_REDIRECTIONS = range(300, 400)
