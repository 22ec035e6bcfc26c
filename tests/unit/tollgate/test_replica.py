"""A replica takes events strictly one after another, whatever arrives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tollgate.eventlog.chain import ChainBroken
from tollgate.events import RecordedEvent, UnreadableEvent
from tollgate.events.registry import OAuthAppRenamed
from tollgate.projections.replica import REMEMBERED, Diverged, Hole, Replica
from tollgate.testing.memory_log import MemoryLog


class Names:
    """A state that keeps what it was given, and cannot read some of it."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    def apply(self, recorded: RecordedEvent) -> None:
        if recorded.stream == "oauth_app-unreadable":
            raise UnreadableEvent("no")
        if recorded.stream == "oauth_app-fault":
            raise KeyError("a fault of ours")
        self.taken.append(recorded.position)


def log_of(*streams: str) -> MemoryLog:
    log = MemoryLog()
    for number, stream in enumerate(streams):
        log.append(stream, OAuthAppRenamed(name=str(number)))
    return log


def replica() -> Replica[Names]:
    return Replica("registry", Names())


@given(st.data(), st.integers(1, 12))
def test_the_state_is_the_log_up_to_the_position_whatever_arrives(
    data: st.DataObject, length: int
) -> None:
    events = log_of(*["oauth_app-1"] * length).events
    follower = replica()
    for recorded in data.draw(st.lists(st.sampled_from(events), max_size=40)):
        try:
            follower.take(recorded)
        except Hole:
            assert recorded.position > follower.position + 1
    assert follower.state.taken == list(range(1, follower.position + 1))
    for recorded in events:
        follower.take(recorded)
    assert follower.state.taken == list(range(1, length + 1))
    assert follower.hash.hex() == events[-1].hash


def test_withheld_events_chain_like_whole_ones() -> None:
    follower = replica()
    for recorded in log_of("oauth_app-1", "oauth_app-2").events:
        assert follower.take(recorded.withholding(data=True))


@pytest.mark.parametrize(
    "change",
    [
        {"stream": "oauth_app-2"},
        {"version": 7},
        {"type": "oauth_app.created"},
        {"data": None, "data_digest": "00" * 32},
        {"metadata": None, "metadata_digest": "00" * 32},
        {"hash": "00" * 32},
    ],
)
def test_an_event_that_does_not_follow_is_refused(change: dict[str, object]) -> None:
    follower = replica()
    (recorded,) = log_of("oauth_app-1").events
    with pytest.raises(ChainBroken):
        follower.take(replace(recorded, **change))
    assert follower.position == 0
    assert follower.take(recorded)


def test_another_event_at_a_place_already_taken_is_another_history() -> None:
    follower = replica()
    for recorded in log_of("oauth_app-1", "oauth_app-1").events:
        follower.take(recorded)
    other = log_of("oauth_app-2", "oauth_app-2").events
    with pytest.raises(Diverged) as diverged:
        follower.take(other[0])
    assert diverged.value.position == 1
    assert follower.position == 2


def test_a_duplicate_older_than_what_is_remembered_is_still_ignored() -> None:
    events = log_of(*["oauth_app-1"] * (REMEMBERED + 10)).events
    follower = replica()
    for recorded in events:
        follower.take(recorded)
    assert follower.hash_at(1) is None
    assert follower.take(events[0]) is False
    assert follower.hash_at(11) == bytes.fromhex(events[10].hash)


@pytest.mark.parametrize("stream", ["oauth_app-unreadable", "oauth_app-fault"])
def test_an_event_the_state_cannot_take_stops_it_there(stream: str) -> None:
    follower = replica()
    first, second = log_of("oauth_app-1", stream).events
    follower.take(first)
    for _ in range(2):
        with pytest.raises(UnreadableEvent):
            follower.take(second)
    assert follower.position == 1
    assert follower.state.taken == [1]
