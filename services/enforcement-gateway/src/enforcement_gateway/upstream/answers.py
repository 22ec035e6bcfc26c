"""Where an upstream's answer goes."""

from typing import Protocol

import msgspec

from enforcement_gateway.domain.denials import Reason


class AnswerHead(msgspec.Struct, frozen=True):
    """Status, phrase and the fields that may be passed on.

    `length` is None where only the end of the answer tells it.
    """

    status: int
    phrase: bytes
    fields: list[tuple[bytes, bytes]]
    length: int | None


class Answers(Protocol):
    """Whoever waits for one answer. Each is told once how it ended."""

    def answer_whole(self, head: AnswerHead, body: bytes) -> None:
        """It came at once; `length` of the head is that of `body`."""
        ...

    def answer_started(self, head: AnswerHead, source: "AnswerSource") -> None:
        """It comes in pieces. `source` can be told to wait."""
        ...

    def answer_continued(self, piece: bytes) -> None: ...

    def answer_ended(self) -> None: ...

    def answer_failed(self, reason: Reason) -> None:
        """There is none, or not the rest of it."""
        ...


class AnswerSource(Protocol):
    """The connection that an answer comes from."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abandon(self) -> None:
        """Nobody waits any longer."""
        ...
