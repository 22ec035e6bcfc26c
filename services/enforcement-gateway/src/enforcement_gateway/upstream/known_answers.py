"""Heads of answers that an upstream has given before, and what they meant.

An upstream that takes events says the same each time, but for the date. So the heads
of answers that came whole are kept as bytes, each with what the parser made of it.
"""

from msgspec.structs import replace

from enforcement_gateway.upstream.answers import AnswerHead

MAX_KNOWN = 256
"""Heads kept. An upstream whose every head differs costs no more than this."""

_END = b"\r\n\r\n"


class KnownAnswers:
    """Of one upstream. Only what leaves no doubt is kept: see `learn`."""

    def __init__(self) -> None:
        self._heads: dict[bytes, AnswerHead] = {}

    def recognise(self, data: bytes) -> AnswerHead | None:
        """The head of `data`, if that is one whole answer with a known one.

        What follows the head in `data` is then the body, and nothing more.
        """
        end = data.find(_END) + len(_END)
        head = self._heads.get(data[:end])
        if head is None or len(data) - end != head.length:
            return None
        return head

    def learn(self, data: bytes, head: AnswerHead) -> None:
        """Keep the head of an answer that came as `data`, alone and whole.

        It must have told its length, and have left the connection open.
        """
        end = data.find(_END) + len(_END)
        if len(data) - end != head.length:
            return
        if len(self._heads) >= MAX_KNOWN:
            self._heads.clear()
        self._heads[data[:end]] = replace(head, shared=head.start())
