"""Events as messages: what goes in comes out, and nothing else is believed."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.events.registry import MemberAdded, OAuthAppRenamed
from tollgate.messaging.messages import (
    MAX_BODY,
    MAX_ENCODED,
    MAX_EVENTS,
    EventMessage,
    UnreadableMessage,
    decode_lines,
    decode_message,
    encode_lines,
    headers_of,
    messages_of,
)
from tollgate.projections.replica import Replica
from tollgate.registry.state import RegistryState
from tollgate.testing.memory_log import MemoryLog


def log_of(count: int, name: str = "x") -> MemoryLog:
    log = MemoryLog()
    for _ in range(count):
        log.append("oauth_app-1", OAuthAppRenamed(name=name))
    return log


def messages(log: MemoryLog) -> list[tuple[EventMessage, bytes]]:
    return list(messages_of(log.log, log.hash_at(0), log.events))


class TestMessages:
    @pytest.mark.parametrize(
        ("count", "sizes"),
        [
            (0, []),
            (1, [1]),
            (MAX_EVENTS, [MAX_EVENTS]),
            (MAX_EVENTS + 1, [MAX_EVENTS, 1]),
        ],
    )
    def test_a_message_holds_up_to_200_events(
        self, count: int, sizes: list[int]
    ) -> None:
        assert [len(message.events) for message, _ in messages(log_of(count))] == sizes

    def test_large_events_make_small_messages(self) -> None:
        for message, body in messages(log_of(7, "x" * (MAX_ENCODED // 3))):
            assert len(message.events) == 2 or message.last == 7
            assert len(body) < MAX_ENCODED

    def test_an_event_larger_than_a_message_travels_alone(self) -> None:
        log = log_of(1)
        log.append("oauth_app-1", OAuthAppRenamed(name="x" * MAX_ENCODED))
        log.append("oauth_app-1", OAuthAppRenamed(name="x"))
        assert [len(message.events) for message, _ in messages(log)] == [1, 1, 1]

    def test_messages_chain_from_one_to_the_next(self) -> None:
        log = log_of(2 * MAX_EVENTS + 5)
        follower = Replica("registry", RegistryState())
        for message, body in messages(log):
            read = decode_message("registry", headers_of(message), body)
            assert read.hash_before == follower.hash
            assert read.routing_key == "oauth_app.renamed"
            for recorded in read.events:
                follower.take(recorded)
        assert follower.hash == log.head.hash

    def test_members_and_all_metadata_travel_as_digests_only(self) -> None:
        log = MemoryLog()
        log.append(
            "member-1",
            MemberAdded(workspace_id="ws", name="Ann", email="a@b.c", grants=()),
        )
        log.append("oauth_app-1", OAuthAppRenamed(name="seen"))
        ((_, body),) = messages(log)
        assert b"Ann" not in body
        assert b"request-1" not in body
        assert b"request-2" not in body
        member, app = decode_lines(body)
        assert member.withheld
        assert not app.withheld
        assert app.metadata is None


class TestDecoding:
    @pytest.fixture
    def headers(self) -> dict[str, object]:
        ((message, _),) = messages(log_of(3))
        return dict(headers_of(message))

    @pytest.fixture
    def body(self) -> bytes:
        ((_, encoded),) = messages(log_of(3))
        return encoded

    @pytest.mark.parametrize(
        "change",
        [
            {"log": "tokens"},
            {"log": None},
            {"first": 2},
            {"first": "1"},
            {"last": 4},
            {"last": None},
            {"hash_before": None},
            {"hash_before": "00"},
            {"hash_before": "zz" * 32},
            {"hash_before": b"\0" * 32},
        ],
    )
    def test_headers_that_say_otherwise_make_it_unreadable(
        self, headers: dict[str, object], body: bytes, change: dict[str, object]
    ) -> None:
        decode_message("registry", headers, body)
        with pytest.raises(UnreadableMessage):
            decode_message("registry", {**headers, **change}, body)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"not json",
            b"[" * 100_000,
            b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            b"\xff\xfe",
            b"null",
            b"x" * (MAX_BODY + 1),
        ],
        ids=["empty", "text", "deep", "deep data", "utf-8", "null", "long"],
    )
    def test_poison_is_unreadable(
        self, headers: dict[str, object], body: bytes
    ) -> None:
        with pytest.raises(UnreadableMessage):
            decode_message("registry", headers, body)

    @pytest.mark.parametrize(
        "change",
        [
            {"position": 0},
            {"position": 2**63},
            {"version": 0},
            {"version": 2**31},
            {"recorded_at": "2026-01-01T00:00:00"},
            {"recorded_at": 5},
            {"stream": None},
            {"data_digest": 1},
        ],
    )
    def test_a_line_that_is_no_event_is_unreadable(
        self, change: dict[str, object]
    ) -> None:
        line = msgspec.json.decode(encode_lines(log_of(1).events))
        with pytest.raises(UnreadableMessage):
            decode_lines(msgspec.json.encode({**line, **change}))

    def test_a_message_with_a_hole_inside_is_unreadable(
        self, headers: dict[str, object]
    ) -> None:
        log = log_of(3)
        with pytest.raises(UnreadableMessage):
            decode_message(
                "registry", headers, encode_lines([log.events[0], log.events[2]])
            )

    @pytest.mark.parametrize("order", [(1, 3, 2, 4), (1, 4, 3), (1, 1, 3), (4, 1, 2)])
    def test_events_out_of_order_are_unreadable(self, order: tuple[int, ...]) -> None:
        log = log_of(4)
        body = encode_lines([log.events[position - 1] for position in order])
        with pytest.raises(UnreadableMessage):
            decode_lines(body)

    @given(st.binary(max_size=200), st.dictionaries(st.text(max_size=5), st.none()))
    def test_nothing_but_unreadable_message_escapes(
        self, body: bytes, headers: dict[str, object]
    ) -> None:
        with pytest.raises(UnreadableMessage):
            decode_message("registry", {"log": "registry", **headers}, body)

    def test_events_come_back_as_they_were(self) -> None:
        log = log_of(2)
        read = decode_lines(encode_lines(log.events))
        assert [bytes(event.data or b"") for event in read] == [
            bytes(event.data or b"") for event in log.events
        ]
        follower = Replica("registry", RegistryState())
        assert all(follower.take(event) for event in read)
