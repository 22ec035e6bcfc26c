"""The words of a scenario can fail."""

from collections.abc import Sequence

import pytest

from tollgate.events import RecordedEvent
from tollgate.events.registry import SourceDeleted, SourceRenamed
from tollgate.testing.scenario import Facts, on, recorded, scenarios_of

renamed = SourceRenamed(name="x")


class Refused(Exception):
    pass


class RefusedInParticular(Refused):
    pass


def decide(history: Sequence[RecordedEvent], asked: str) -> Facts:
    match asked:
        case "refuse":
            raise Refused
        case "refuse in particular":
            raise RefusedInParticular
        case _:
            return on("source-a", *[renamed] * len(history))


given = scenarios_of(decide)


def test_what_is_given_is_recorded_in_order() -> None:
    history = recorded([*on("source-a", renamed, SourceDeleted()), ("b-1", renamed)])
    assert [(each.position, each.stream, each.version) for each in history] == [
        (1, "source-a", 1),
        (2, "source-a", 2),
        (3, "b-1", 1),
    ]


def test_then_compares_what_follows() -> None:
    given(on("source-b", renamed)).when("go").then(on("source-a", renamed))
    given().when("go").then()
    with pytest.raises(AssertionError):
        given().when("go").then(on("source-a", renamed))
    with pytest.raises(AssertionError):
        given(on("source-b", renamed)).when("go").then(on("source-b", renamed))


def test_then_refused_insists_on_the_reason() -> None:
    given().when("refuse").then_refused(Refused)
    with pytest.raises(AssertionError):
        given().when("go").then_refused(Refused)
    with pytest.raises(RefusedInParticular):
        given().when("refuse in particular").then_refused(Refused)
