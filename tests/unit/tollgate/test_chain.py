"""The chain against hashes made by hand from its description."""

import hashlib
from datetime import UTC, datetime

import msgspec
import pytest
from msgspec.structs import replace

from tollgate.eventlog.chain import Chain, ChainBroken, genesis, link
from tollgate.events import RecordedEvent

AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


def event(position: int, previous: bytes, **changes: object) -> RecordedEvent:
    plain = RecordedEvent(
        position=position,
        stream="source-é",
        version=position,
        type="source.renamed",
        recorded_at=AT,
        hash="",
        data=msgspec.Raw(b'{"name":"x"}'),
        metadata=msgspec.Raw(b"{}"),
    )
    plain = replace(plain, **changes)
    return replace(plain, hash=link(previous, plain).hex())


def log_of(length: int) -> list[RecordedEvent]:
    events, previous = [], genesis("registry")
    for position in range(1, length + 1):
        events.append(event(position, previous))
        previous = bytes.fromhex(events[-1].hash)
    return events


def test_a_hash_is_what_the_description_says() -> None:
    stream, kind = "source-é".encode(), b"source.renamed"
    digest = hashlib.sha256(
        len(stream).to_bytes(4, "big")
        + stream
        + len(kind).to_bytes(4, "big")
        + kind
        + hashlib.sha256(b'{"name":"x"}').digest()
        + hashlib.sha256(b"{}").digest()
    ).digest()
    micros = 1767323045000006  # 2026-01-02T03:04:05.000006Z
    expected = hashlib.sha256(
        hashlib.sha256(b"tollgate log registry").digest()
        + (1).to_bytes(8, "big")
        + (1).to_bytes(4, "big")
        + micros.to_bytes(8, "big")
        + digest
    ).hexdigest()
    assert log_of(1)[0].hash == expected


def test_an_unchanged_log_verifies_to_its_head() -> None:
    events = log_of(5)
    chain = Chain("registry")
    chain.verify(events)
    chain.verify_head(5, bytes.fromhex(events[-1].hash))


def test_a_withheld_event_checks_without_its_content() -> None:
    events = [each.withholding(data=True) for each in log_of(3)]
    assert all(each.withheld and each.metadata is None for each in events)
    Chain("registry").verify(events)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": msgspec.Raw(b'{"name":"y"}')},
        {"metadata": msgspec.Raw(b'{"actor":"x"}')},
        {"stream": "source-e"},
        {"type": "source.deleted"},
        {"version": 7},
        {"recorded_at": AT.replace(microsecond=7)},
        {"hash": "00" * 32},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_any_changed_field_is_found_where_it_is(changes: dict[str, object]) -> None:
    events = log_of(4)
    events[2] = replace(events[2], **changes)
    with pytest.raises(ChainBroken) as broken:
        Chain("registry").verify(events)
    assert broken.value.position == 3


def test_a_removed_event_is_found() -> None:
    events = log_of(4)
    del events[1]
    with pytest.raises(ChainBroken) as broken:
        Chain("registry").verify(events)
    assert broken.value.position == 2


def test_a_missing_tail_is_found_by_the_head() -> None:
    events = log_of(4)
    chain = Chain("registry")
    chain.verify(events[:2])
    with pytest.raises(ChainBroken) as broken:
        chain.verify_head(4, bytes.fromhex(events[-1].hash))
    assert broken.value.position == 3


def test_a_log_under_another_name_is_another_chain() -> None:
    with pytest.raises(ChainBroken):
        Chain("tokens").verify(log_of(1))
