"""Given / when / then: a decision as a sentence.

    given(on("source-a", created)).when(rename).then(on("source-a", renamed))

A scenario knows only facts. Whoever decides gets the facts given as the log would hold
them, and says which facts follow.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Concatenate, Generic, ParamSpec, TypeAlias

import msgspec

from tollgate.events import Event, EventMetadata, RecordedEvent, encode
from tollgate.events.recorded import tag_of

Fact: TypeAlias = tuple[str, Event]
Facts: TypeAlias = Sequence[Fact]

RECORDED_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


Asked = ParamSpec("Asked")
Decide: TypeAlias = Callable[Concatenate[Sequence[RecordedEvent], Asked], Facts]
"""Decides on what the log holds and what is asked."""


def on(stream: str, *events: Event) -> list[Fact]:
    """Facts of one stream, oldest first."""
    return [(stream, event) for event in events]


def recorded(facts: Facts, *, at: datetime = RECORDED_AT) -> list[RecordedEvent]:
    """The facts as an empty log would hold them once appended. Hashes are not real."""
    versions: Counter[str] = Counter()
    history = []
    for position, (stream, event) in enumerate(facts, start=1):
        versions[stream] += 1
        history.append(
            RecordedEvent(
                position=position,
                stream=stream,
                version=versions[stream],
                type=tag_of(type(event)),
                recorded_at=at,
                hash=f"{position:064x}",
                data=msgspec.Raw(encode(event)),
                metadata=msgspec.Raw(encode(EventMetadata())),
            )
        )
    return history


@dataclass(frozen=True, slots=True)
class When:
    """A decision that is still to be taken."""

    decide: Callable[[], Facts]

    def then(self, *facts: Facts) -> None:
        """These facts follow, no other, in this order; with none, nothing happens."""
        expected = [fact for group in facts for fact in group]
        assert list(self.decide()) == expected

    def then_refused(self, refusal: type[Exception]) -> None:
        """The decision is refused for this reason, and not for one derived from it."""
        try:
            facts = self.decide()
        except Exception as error:
            if type(error) is not refusal:
                raise
            return
        raise AssertionError(f"not refused: {facts}")


@dataclass(frozen=True, slots=True)
class Given(Generic[Asked]):
    """What happened before."""

    decide: Decide[Asked]
    facts: Facts

    def when(self, *asked: Asked.args, **context: Asked.kwargs) -> When:
        return When(lambda: self.decide(recorded(self.facts), *asked, **context))


def scenarios_of(decide: Decide[Asked]) -> Callable[..., Given[Asked]]:
    """`given(*facts)` for one way to decide."""

    def given(*facts: Facts) -> Given[Asked]:
        return Given(decide, [fact for group in facts for fact in group])

    return given
