"""The golden files are the promise to every event that was ever written.

A line may be added; a line that no longer reads, or reads as other bytes, is a log
that can no longer be replayed or whose chain no longer checks.
"""

import gc
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from tollgate.events import Event, RecordedEvent, UnreadableEvent, encode
from tollgate.events.issuance import issuance_decoder
from tollgate.events.recorded import EventDecoder
from tollgate.events.registry import registry_decoder
from tollgate.events.tokens import tokens_decoder

DECODERS = {
    "registry": registry_decoder,
    "tokens": tokens_decoder,
    "issuance": issuance_decoder,
}
GOLDEN = Path(__file__).parent / "golden"
LINES = [
    pytest.param(log, line, id=f"{log}: {msgspec.json.decode(line)['type']}")
    for log in DECODERS
    for line in (GOLDEN / f"{log}.ndjson").read_bytes().splitlines()
]


def recorded(line: bytes) -> RecordedEvent:
    return RecordedEvent(
        position=1,
        stream="thing-1",
        version=1,
        type=msgspec.json.decode(line)["type"],
        recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
        hash="00",
        data=msgspec.Raw(line),
        metadata=msgspec.Raw(b"{}"),
    )


def decode(decoder: EventDecoder, line: bytes) -> Event:
    event = decoder.decode(recorded(line))
    assert event is not None
    return event


@pytest.mark.parametrize(("log", "line"), LINES)
def test_a_golden_event_reads_and_is_written_as_the_same_bytes(
    log: str, line: bytes
) -> None:
    assert encode(decode(DECODERS[log], line)) == line


@pytest.mark.parametrize(("log", "line"), LINES)
def test_the_collector_need_not_know_an_event_as_nothing_in_it_can_change(
    log: str, line: bytes
) -> None:
    event = decode(DECODERS[log], line)
    assert not gc.is_tracked(event)
    assert hash(event) == hash(decode(DECODERS[log], line))


@pytest.mark.parametrize("log", DECODERS)
def test_every_event_of_a_log_has_a_golden_line(log: str) -> None:
    lines = (GOLDEN / f"{log}.ndjson").read_bytes().splitlines()
    assert {msgspec.json.decode(line)["type"] for line in lines} == DECODERS[log].types


@pytest.mark.parametrize(("log", "line"), LINES)
def test_a_field_of_a_later_version_does_not_stop_a_reader(
    log: str, line: bytes
) -> None:
    later = line[:-1] + b',"a_later_field":{"deep":[1]}}'
    assert decode(DECODERS[log], later) == decode(DECODERS[log], line)


class TestUnknownType:
    def test_one_that_must_be_understood_stops_the_reader(self) -> None:
        with pytest.raises(UnreadableEvent):
            registry_decoder.decode(recorded(b'{"type":"moon.risen"}'))

    def test_one_that_need_not_be_understood_is_passed(self) -> None:
        line = b'{"type":"moon.risen","must_understand":false}'
        assert registry_decoder.decode(recorded(line)) is None

    @pytest.mark.parametrize(
        "line",
        [
            b'{"type":"source.renamed","name":7}',
            b'{"type":"source.renamed"}',
            b'{"type":"moon.risen","must_understand":"no"}',
        ],
    )
    def test_data_that_does_not_fit_its_type_stops_the_reader(
        self, line: bytes
    ) -> None:
        with pytest.raises(UnreadableEvent):
            registry_decoder.decode(recorded(line))

    def test_the_type_of_the_row_must_be_that_of_the_data(self) -> None:
        event = recorded(b'{"type":"source.deleted"}')
        other = msgspec.structs.replace(event, type="source.renamed")
        with pytest.raises(UnreadableEvent):
            registry_decoder.decode(other)
