"""The log on a real PostgreSQL."""

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import asyncpg
import pytest

from local_stack.databases import Database
from tollgate.database import Connection, connect, open_pool
from tollgate.eventlog import (
    AlreadySpent,
    Appended,
    AppendGroup,
    AppendOutcomeUnknown,
    CommandRepeated,
    EventLog,
    LogUnavailable,
    Spend,
    WrongExpectedVersion,
    open_event_log,
)
from tollgate.eventlog.chain import ChainBroken
from tollgate.eventlog.committer import WORTH_ANOTHER_CALL
from tollgate.eventlog.groups import arguments_of, call_of, encode_group
from tollgate.events import EventMetadata, encode
from tollgate.events.issuance import TokenIssued
from tollgate.events.registry import OAuthAppRenamed, SourceRenamed
from tollgate.migrations import (
    Migration,
    MigrationRefused,
    event_log_migrations,
    migrate,
)
from tollgate.testing.waiting import until

WORKER = Path(__file__).with_name("append_worker.py")
LATER = datetime(2126, 1, 1, tzinfo=UTC)


def renamed(name: str = "x") -> OAuthAppRenamed:
    return OAuthAppRenamed(name=name)


def group(*streams: str, **options: object) -> AppendGroup:
    """A group with one event on each of `streams`."""
    return AppendGroup(
        events=[(stream, renamed()) for stream in streams],
        **options,  # type: ignore[arg-type]
    )


class TestAppend:
    async def test_events_come_back_as_they_were_written(self, log: EventLog) -> None:
        metadata = EventMetadata(actor="member-1", request_id="r\u00e9")
        fact = SourceRenamed(name='é "quoted" \\ \u2028')
        place = await log.append(
            AppendGroup(events=[("source-1", fact)], metadata=metadata)
        )
        (recorded,) = await log.load("source-1")
        assert place == Appended(1, 1)
        assert (recorded.position, recorded.version) == (1, 1)
        assert bytes(recorded.data or b"") == encode(fact)
        assert bytes(recorded.metadata or b"") == encode(metadata)

    async def test_a_stream_at_another_version_refuses_the_whole_group(
        self, log: EventLog
    ) -> None:
        await log.append(group("source-1"))
        with pytest.raises(WrongExpectedVersion) as conflict:
            await log.append(group("source-2", "source-1", expected={"source-1": 0}))
        assert conflict.value.stream == "source-1"
        assert (await log.head()).position == 1

    async def test_a_precondition_may_name_a_stream_that_gets_no_event(
        self, log: EventLog
    ) -> None:
        with pytest.raises(WrongExpectedVersion) as conflict:
            await log.append(group("source-1", expected={"member-1": 1}))
        assert conflict.value.stream == "member-1"

    async def test_a_conflict_fails_its_own_caller_and_no_other(
        self, log: EventLog
    ) -> None:
        outcomes = await asyncio.gather(
            log.append(group("source-1", expected={"source-1": 0})),
            log.append(group("source-1", expected={"source-1": 0})),
            log.append(group("source-2", "source-1", expected={"source-1": 1})),
            log.append(group("source-3")),
            return_exceptions=True,
        )
        assert outcomes[0] == Appended(1, 1)
        assert isinstance(outcomes[1], WrongExpectedVersion)
        assert outcomes[2] == Appended(2, 3)
        assert outcomes[3] == Appended(4, 4)

    async def test_data_that_the_database_refuses_fails_its_own_caller_and_no_other(
        self, log: EventLog
    ) -> None:
        outcomes = await asyncio.gather(
            log.append(group("source-1")),
            log.append(group("source-\0")),
            log.append(group("source-2")),
            return_exceptions=True,
        )
        assert outcomes[0] == Appended(1, 1)
        assert isinstance(outcomes[1], asyncpg.CharacterNotInRepertoireError)
        assert outcomes[2] == Appended(2, 2)

    async def test_a_command_is_recorded_once_and_found_again(
        self, log: EventLog
    ) -> None:
        first = await log.append(group("source-1", "source-2", command_id="c"))
        with pytest.raises(CommandRepeated) as repeated:
            await log.append(group("source-1", "source-2", command_id="c"))
        assert (repeated.value.first, repeated.value.last) == (first.first, first.last)
        assert [each.stream for each in await log.read_command("c")] == [
            "source-1",
            "source-2",
        ]
        assert await log.read_command("another") == []

    async def test_a_refused_command_may_be_tried_again(self, log: EventLog) -> None:
        with pytest.raises(WrongExpectedVersion):
            await log.append(group("a-1", command_id="c", expected={"a-1": 7}))
        assert await log.append(group("a-1", command_id="c")) == Appended(1, 1)

    async def test_time_never_runs_backwards(
        self, log: EventLog, db: Connection
    ) -> None:
        await log.append(group("a-1"))
        await db.execute("UPDATE registry.head SET recorded_at = $1", LATER)
        await log.append(group("a-1"))
        assert [each.recorded_at for each in await log.load("a-1")][1] == LATER

    async def test_a_reader_that_knows_a_version_loads_only_what_follows(
        self, log: EventLog
    ) -> None:
        for _ in range(5):
            await log.append(group("a-1"))
        newer = await log.load("a-1", after_version=2, to_version=4)
        assert [each.version for each in newer] == [3, 4]
        assert await log.load("a-1", after_version=5) == []

    @pytest.mark.parametrize("schema", ["registry", "issuance"])
    async def test_no_append_reads_the_whole_log(
        self, database_url: str, db: Connection, schema: str
    ) -> None:
        """Nor with a plan that was made while it was the cheapest to do so."""
        call = call_of(schema)
        scans = """
            SELECT sum(seq_scan) AS whole, sum(idx_scan) AS by_index
            FROM pg_stat_user_tables
            WHERE schemaname = $1 AND relname LIKE 'events%'
        """
        for number in range(61):
            expected = {"a-1": number}
            groups = [encode_group(group("a-1", f"b-{number}", expected=expected))]
            (row,) = await db.fetch(call, *arguments_of(groups))
            assert row["outcomes"] is None
            if number == 0:  # to make a table's indexes it was read as a whole
                await db.execute(f"ANALYZE {schema}.events")
                await db.execute("SELECT pg_stat_force_next_flush()")
                (at_first,) = await db.fetch(scans, schema)
        await db.execute("SELECT pg_stat_force_next_flush()")
        (row,) = await db.fetch(scans, schema)
        assert row["whole"] == at_first["whole"]
        assert row["by_index"] >= 60

    async def test_a_stream_name_of_two_lines_fails_its_own_caller_and_no_other(
        self, log: EventLog
    ) -> None:
        outcomes = await asyncio.gather(
            log.append(group("source-1")),
            log.append(group("source-2\nsource-3")),
            log.append(group("source-4", expected={"source-1": 1})),
            return_exceptions=True,
        )
        assert outcomes[0] == Appended(1, 1)
        assert isinstance(outcomes[1], ValueError)
        assert outcomes[2] == Appended(2, 2)

    async def test_a_group_without_events_has_no_place_and_takes_none(
        self, log: EventLog
    ) -> None:
        places = await asyncio.gather(
            log.append(group("a-1")),
            log.append(AppendGroup(expected={"a-1": 1})),
            log.append(group("a-2", "a-3")),
        )
        assert places == [Appended(1, 1), Appended(None, None), Appended(2, 3)]

    async def test_who_asked_is_told_how_far_the_log_goes(self, log: EventLog) -> None:
        told: list[int] = []
        log.tell_of_appends(told.append)
        await log.append(group("a-1", "a-1"))
        await log.append(AppendGroup(expected={"a-1": 2}))
        with pytest.raises(WrongExpectedVersion):
            await log.append(group("a-1", expected={"a-1": 1}))
        outcomes = await asyncio.gather(
            log.append(group("a-1", expected={"a-1": 1})),
            log.append(group("a-2")),
            return_exceptions=True,
        )
        assert outcomes[1] == Appended(3, 3)
        assert told == [2, 3]

    async def test_one_call_takes_a_command_and_an_assertion_once(
        self, log: EventLog, db: Connection
    ) -> None:
        """Where neither is in the log yet, and nothing else is wrong."""
        spend = Spend(client_id="app_1", jti="j", expires_at=LATER)
        assert await outcomes_of(
            db, [group("a-1", command_id="c"), group("a-2", command_id="c")]
        ) == [("appended", None, 1, 1), ("repeated", None, 1, 1)]
        assert await outcomes_of(
            db, [group("a-1", spend=spend), group("a-2", spend=spend)]
        ) == [("appended", None, 2, 2), ("spent", None, None, None)]

    async def test_a_known_command_is_noticed_where_it_writes_nothing(
        self, log: EventLog, db: Connection
    ) -> None:
        nothing = AppendGroup(command_id="c")
        assert await outcomes_of(db, [nothing, group("a-1", command_id="c")]) == [
            ("appended", None, None, None),
            ("appended", None, 1, 1),
        ]
        assert await outcomes_of(db, [nothing, group("a-2", command_id="d")]) == [
            ("repeated", None, 1, 1),
            ("appended", None, 2, 2),
        ]

    @pytest.mark.parametrize("seed", range(4))
    async def test_a_call_decides_its_groups_as_if_each_came_alone(
        self, log: EventLog, db: Connection, seed: int
    ) -> None:
        """Against a model, on calls whose groups get in each other's way."""
        rng, model = random.Random(seed), LogModel()  # noqa: S311 - no secret
        for _ in range(40):
            call = [a_group(rng, model) for _ in range(rng.randint(1, 12))]
            assert await outcomes_of(db, call) == [model.append(g) for g in call]
        events = await log.read_after(0, limit=10_000)
        assert [
            (each.position, each.stream, each.version, bytes(each.data or b""))
            for each in events
        ] == model.events
        await log.verify()


async def outcomes_of(
    db: Connection, call: list[AppendGroup]
) -> list[tuple[str, str | None, int | None, int | None]]:
    """What `append_groups` answers of each group: outcome, detail, first, last."""
    row = await db.fetchrow(
        call_of("registry"), *arguments_of([encode_group(g) for g in call])
    )
    assert row is not None
    before, *columns = row
    if columns[0] is not None:
        return list(zip(*columns, strict=True))
    outcomes = []
    for each in call:
        count = len(each.events)
        place = (before + 1, before + count) if count else (None, None)
        outcomes.append(("appended", None, *place))
        before += count
    return outcomes


class LogModel:
    """What `append` promises, one group after another."""

    def __init__(self) -> None:
        self.events: list[tuple[int, str, int, bytes]] = []
        self.versions: Counter[str] = Counter()
        self.commands: dict[str, tuple[int, int]] = {}
        self.spent: set[tuple[str, str]] = set()

    def append(
        self, group: AppendGroup
    ) -> tuple[str, str | None, int | None, int | None]:
        command, spend = group.command_id, group.spend
        if command is not None and command in self.commands:
            return "repeated", None, *self.commands[command]
        for stream, version in group.expected.items():
            if self.versions[stream] != version:
                return "conflict", stream, None, None
        if spend is not None:
            if (spend.client_id, spend.jti) in self.spent:
                return "spent", None, None, None
            self.spent.add((spend.client_id, spend.jti))
        if not group.events:
            return "appended", None, None, None
        first = len(self.events) + 1
        for stream, event in group.events:
            self.versions[stream] += 1
            self.events.append(
                (len(self.events) + 1, stream, self.versions[stream], encode(event))
            )
        if command is not None:
            self.commands[command] = first, len(self.events)
        return "appended", None, first, len(self.events)


def a_group(rng: random.Random, model: LogModel) -> AppendGroup:
    """Few streams, commands and jtis, so that groups meet; mostly right versions."""
    streams = [f"source-{number}" for number in range(5)]
    return AppendGroup(
        events=[
            (rng.choice(streams), renamed(rng.choice(["x", "é\n\t", '"\\', "\u2028"])))
            for _ in range(rng.choice([0, 1, 1, 2, 3]))
        ],
        expected={
            stream: model.versions[stream] + rng.choice([0, 0, 0, 1])
            for stream in rng.sample(streams, rng.randint(0, 2))
        },
        metadata=EventMetadata(request_id=f"{rng.random()}"),
        command_id=rng.choice([None, None, f"c{rng.randrange(40)}"]),
        spend=rng.choice(
            [
                None,
                Spend(
                    client_id="app_1", jti=f"j\n{rng.randrange(40)}", expires_at=LATER
                ),
            ]
        ),
    )


class TestCallsInFlight:
    """Many appends at once go in two calls; each is as safe as one alone."""

    MANY = 2 * WORTH_ANOTHER_CALL

    async def test_many_appends_go_in_two_calls(
        self, log: EventLog, db: Connection
    ) -> None:
        async with db.transaction():
            await db.execute("SELECT * FROM registry.head FOR UPDATE")
            appends = [
                asyncio.create_task(log.append(group(f"source-{number}", "app-1")))
                for number in range(self.MANY)
            ]
            await waiting_appends(db, at_least=2)
        places = await asyncio.gather(*appends)
        taken = sorted((place.first or 0, place.last or 0) for place in places)
        assert taken == [(n, n + 1) for n in range(1, 2 * self.MANY, 2)]
        assert (await log.verify()).position == 2 * self.MANY

    async def test_few_appends_beside_a_call_in_flight_wait_for_its_end(
        self, log: EventLog, db: Connection
    ) -> None:
        async with db.transaction():
            await db.execute("SELECT * FROM registry.head FOR UPDATE")
            first = asyncio.create_task(log.append(group("source-1")))
            await waiting_appends(db, at_least=1)
            later = [
                asyncio.create_task(log.append(group("source-1")))
                for _ in range(WORTH_ANOTHER_CALL - 1)
            ]
            await log.head()  # a round trip, in which a second call would have gone
            assert await waiting_appends(db, at_least=1) == 1
        assert await first == Appended(1, 1)
        places = await asyncio.gather(*later)
        assert sorted(place.first or 0 for place in places) == [
            *range(2, WORTH_ANOTHER_CALL + 1)
        ]

    async def test_what_was_packed_ahead_is_sent_only_if_it_is_what_waits(
        self, log: EventLog, db: Connection
    ) -> None:
        given_up, *others = [Learned() for _ in range(4)]
        async with db.transaction():
            await db.execute("SELECT * FROM registry.head FOR UPDATE")
            log.submit(group("a-1"), others[0])
            await waiting_appends(db, at_least=1)
            log.submit(group("a-2"), given_up)
            log.submit(group("a-3", "a-4"), others[1])
            await log.head()  # a round trip, in which both were packed
            given_up.learned = LookupError("the caller has gone")
            log.submit(group("a-5"), others[2])
        await until(lambda: all(each.done() for each in others), within=5)
        assert [each.learned for each in others] == [
            Appended(1, 1),
            Appended(2, 3),
            Appended(4, 4),
        ]
        assert not await log.load("a-2")
        assert (await log.verify()).position == 4

    async def test_one_that_cannot_be_packed_ahead_fails_its_own_caller_alone(
        self, log: EventLog, db: Connection
    ) -> None:
        first, odd, last = outcomes = [Learned() for _ in range(3)]
        async with db.transaction():
            await db.execute("SELECT * FROM registry.head FOR UPDATE")
            log.submit(group("a-1"), first)
            await waiting_appends(db, at_least=1)
            log.submit(group("a\n2"), odd)
            log.submit(group("a-3"), last)
            await log.head()  # a round trip, in which they would have been packed
        await until(lambda: all(each.done() for each in outcomes), within=5)
        assert isinstance(odd.learned, ValueError)
        assert (first.learned, last.learned) == (Appended(1, 1), Appended(2, 2))

    async def test_who_awaits_one_append_before_the_next_sees_them_in_order(
        self, log: EventLog
    ) -> None:
        async def write(stream: str) -> None:
            for version in range(10):
                await log.append(group(stream, expected={stream: version}))

        await asyncio.gather(*(write(f"source-{n}") for n in range(2 * self.MANY)))
        assert (await log.verify()).position == 20 * self.MANY

    async def test_a_call_that_is_cut_costs_the_other_nothing(
        self, log: EventLog, db: Connection
    ) -> None:
        """Of two calls one loses its session: named groups are tried again."""
        async with db.transaction():
            await db.execute("SELECT * FROM registry.head FOR UPDATE")
            appends = [
                asyncio.create_task(
                    log.append(
                        group(
                            f"a-{number}",
                            command_id=f"c{number}" if number % 2 else None,
                        )
                    )
                )
                for number in range(self.MANY)
            ]
            await waiting_appends(db, at_least=2)
            await terminate_waiting_appends(db, at_most=1)
            # Its anonymous half is told at once, while the lock is still held.
            await until(
                lambda: sum(each.done() for each in appends) >= self.MANY // 4,
                within=5,
            )
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
        kinds = Counter(type(outcome) for outcome in outcomes)
        lost = self.MANY // 4
        assert kinds == {Appended: self.MANY - lost, AppendOutcomeUnknown: lost}
        assert (await log.verify()).position == self.MANY - lost


class TestSubmitted:
    """Whoever awaits nothing is told by an object of their own."""

    async def test_each_is_told_of_its_own_group(self, log: EventLog) -> None:
        await log.append(group("a-1"))
        outcomes = [Learned() for _ in range(3)]
        log.submit(group("a-1", "a-2"), outcomes[0])
        log.submit(group("a-1", expected={"a-1": 1}), outcomes[1])
        log.submit(group("a-1"), outcomes[2])
        await until(lambda: all(each.done() for each in outcomes), within=5)
        first, refused, last = (each.learned for each in outcomes)
        assert (first, last) == (Appended(2, 3), Appended(4, 4))
        assert isinstance(refused, WrongExpectedVersion)

    async def test_what_nobody_waits_for_any_more_is_not_sent(
        self, log: EventLog
    ) -> None:
        given_up, waited_for = Learned(), Learned()
        log.submit(group("a-1"), given_up)
        log.submit(group("a-2"), waited_for)
        given_up.learned = LookupError("the caller has gone")
        await until(waited_for.done, within=5)
        assert waited_for.learned == Appended(1, 1)
        assert isinstance(given_up.learned, LookupError)

    async def test_one_that_cannot_be_told_is_nothing_to_the_others(
        self, log: EventLog
    ) -> None:
        others = Learned(), Learned()
        log.submit(group("a-1"), others[0])
        log.submit(group("a-2"), Deaf())
        log.submit(group("a-3"), others[1])
        await until(lambda: all(each.done() for each in others), within=5)
        assert [each.learned for each in others] == [Appended(1, 1), Appended(3, 3)]
        assert (await log.append(group("a-4"))) == Appended(4, 4)

    async def test_it_is_told_when_the_log_does_not_answer(self) -> None:
        url = "postgresql://postgres@127.0.0.1:1/none"
        outcome = Learned()
        async with (
            open_pool(url, application_name="t") as pool,
            open_event_log("registry", pool, url) as log,
        ):
            log.submit(group("a-1"), outcome)
            await until(outcome.done, within=8)
        assert isinstance(outcome.learned, LogUnavailable)


class Deaf:
    """It fails as the log's own arguments could."""

    def done(self) -> bool:
        return False

    def set_result(self, appended: Appended) -> None:
        raise ValueError

    def set_exception(self, error: Exception) -> None:
        raise ValueError


class Learned:
    """What was learned of a group; to be told twice is an error."""

    def __init__(self) -> None:
        self.learned: Appended | Exception | None = None

    def done(self) -> bool:
        return self.learned is not None

    def set_result(self, appended: Appended) -> None:
        assert self.learned is None
        assert isinstance(appended, Appended)
        self.learned = appended

    def set_exception(self, error: Exception) -> None:
        assert self.learned is None
        assert isinstance(error, Exception)
        self.learned = error


class TestSpentAssertions:
    def issued(self, jti: str, client_id: str = "app_1") -> AppendGroup:
        fact = TokenIssued(
            jti="t",
            signing_kid="s",
            key="k/2",
            rev=0,
            scopes=(),
            aud=(),
            issued_at=LATER,
            expires_at=LATER,
        )
        return AppendGroup(
            events=[(f"oauth_app-{client_id}", fact)],
            spend=Spend(client_id=client_id, jti=jti, expires_at=LATER),
        )

    async def test_one_of_many_wins_and_the_others_record_nothing(
        self, issuance: EventLog
    ) -> None:
        outcomes = await asyncio.gather(
            *(issuance.append(self.issued("j")) for _ in range(20)),
            return_exceptions=True,
        )
        kinds = Counter(type(outcome) for outcome in outcomes)
        assert kinds == {Appended: 1, AlreadySpent: 19}
        assert (await issuance.head()).position == 1

    async def test_a_jti_belongs_to_its_client(self, issuance: EventLog) -> None:
        await issuance.append(self.issued("j"))
        await issuance.append(self.issued("j", client_id="app_2"))
        assert (await issuance.head()).position == 2

    async def test_names_and_times_are_kept_as_they_are(
        self, issuance: EventLog, db: Connection
    ) -> None:
        """A `jti` is whatever a client writes, and `append_groups` is given lists."""
        odd = [
            '"',
            "\\",
            '\\"',
            "NULL",
            "null",
            "{}",
            "a,b",
            " a ",
            "\n",
            "\t\r",
            "é😀",
        ]
        at = datetime(2126, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
        spends = [
            *(Spend(client_id="app_1", jti=each, expires_at=at) for each in odd),
            *(Spend(client_id=each, jti="j", expires_at=at) for each in odd),
        ]
        spending = [AppendGroup(spend=spend) for spend in spends]
        commands = [group("a-1", command_id=each) for each in odd]
        plain = Spend(client_id="app_1", jti="plain", expires_at=at)
        calls = [
            *([each] for each in [*spending, *commands]),
            [AppendGroup(spend=plain), group("a-1", command_id="plain")],
        ]

        for each in calls:
            encoded = [encode_group(one) for one in each]
            (row,) = await db.fetch(call_of("issuance"), *arguments_of(encoded))
            assert row["outcomes"] is None

        spends.append(plain)
        kept = await db.fetch("SELECT * FROM issuance.spent_jtis")
        assert {(row["client_id"], row["jti"]) for row in kept} == {
            (spend.client_id, spend.jti) for spend in spends
        }
        assert {row["expires_at"] for row in kept} == {at}
        known = await db.fetch("SELECT command_id FROM issuance.commands")
        assert {row["command_id"] for row in known} == {*odd, "plain"}

    async def test_an_assertion_is_kept_until_the_moment_it_says(
        self, issuance: EventLog, db: Connection
    ) -> None:
        second = datetime(2126, 1, 2, 3, 4, 5, tzinfo=UTC)
        kolkata = timezone(timedelta(hours=5, minutes=30))
        moments = [
            second,
            second.replace(microsecond=1),
            second.replace(microsecond=999_990),
            second.replace(year=1970, month=2, day=28),
            second.replace(year=9999),
            second.astimezone(kolkata),
            second.astimezone(timezone(-timedelta(minutes=1))),
        ]
        call = [
            AppendGroup(spend=Spend(client_id="app_1", jti=f"j{n}", expires_at=moment))
            for n, moment in enumerate(moments)
        ]
        call.insert(3, group("a-1"))  # which spends none
        (row,) = await db.fetch(
            call_of("issuance"), *arguments_of([encode_group(each) for each in call])
        )
        assert row["outcomes"] is None
        kept = await db.fetch("SELECT expires_at FROM issuance.spent_jtis ORDER BY jti")
        assert [each["expires_at"] for each in kept] == moments

    async def test_a_refused_group_spends_nothing(self, issuance: EventLog) -> None:
        spend = Spend(client_id="app_1", jti="j", expires_at=LATER)
        with pytest.raises(WrongExpectedVersion):
            await issuance.append(group("a-1", spend=spend, expected={"a-1": 3}))
        await issuance.append(self.issued("j"))

    async def test_a_group_may_spend_and_record_nothing(
        self, issuance: EventLog
    ) -> None:
        alone = AppendGroup(spend=Spend(client_id="app_1", jti="j", expires_at=LATER))
        assert await issuance.append(alone) == Appended(None, None)
        with pytest.raises(AlreadySpent):
            await issuance.append(alone)

    async def test_it_is_forgotten_by_the_time_of_the_log(
        self, issuance: EventLog, db: Connection
    ) -> None:
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        spend = Spend(client_id="app_1", jti="old", expires_at=long_ago)
        await issuance.append(AppendGroup(spend=spend))
        prune = "SELECT issuance.prune_spent_jtis()"
        assert await db.fetchval(prune) == 0  # an empty log knows no time yet
        await issuance.append(self.issued("new"))
        assert await db.fetchval(prune) == 1
        with pytest.raises(AlreadySpent):
            await issuance.append(self.issued("new"))


class TestManyWriters:
    async def test_three_processes_leave_no_hole_and_report_each_conflict(
        self, log: EventLog, database_url: str
    ) -> None:
        """3 processes × 16 writers × 8 rounds of 2 own events and 1 contested one."""
        rounds, writers, names = 8, 16, ("one", "two", "three")
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                str(WORKER),
                database_url,
                name,
                str(writers),
                str(rounds),
                stdout=asyncio.subprocess.PIPE,
            )
            for name in names
        ]
        outputs = await asyncio.gather(*(each.communicate() for each in processes))
        assert [each.returncode for each in processes] == [0, 0, 0]
        reports = [json.loads(out) for out, _ in outputs]

        events = await log.read_after(0, limit=100_000)
        assert [each.position for each in events] == list(range(1, len(events) + 1))
        times = [each.recorded_at for each in events]
        assert times == sorted(times)
        await log.verify()

        attempts = len(names) * writers * rounds
        won = [place for report in reports for place in report["won"]]
        lost = sum(report["lost"] for report in reports)
        assert lost > 0
        assert len(won) + lost == attempts
        contested = [e for e in events if e.stream == "oauth_app-contested"]
        assert sorted(won) == [each.position for each in contested]
        assert [e.version for e in contested] == list(range(1, len(contested) + 1))
        own = [tuple(place) for report in reports for place in report["own"]]
        assert len(own) == attempts
        assert all(last == first + 1 for first, last in own)
        assert len(events) == 2 * attempts + len(contested)

    async def test_a_stopped_client_holds_nobody_up(
        self, log: EventLog, database_url: str
    ) -> None:
        """Wherever SIGSTOP meets it: no client holds the lock between statements."""
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            str(WORKER),
            database_url,
            "stopped",
            "16",
            "100000",
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            for number in range(1, 11):
                before = (await log.head()).position
                async with asyncio.timeout(20):
                    while (await log.head()).position == before:
                        await asyncio.sleep(0)
                os.kill(worker.pid, signal.SIGSTOP)
                async with asyncio.timeout(2):
                    await log.append(group(f"source-{number}"))
                os.kill(worker.pid, signal.SIGCONT)
        finally:
            worker.kill()
            await worker.wait()
        await log.verify()


class TestVerify:
    @pytest.fixture
    async def filled(self, log: EventLog) -> EventLog:
        for number in range(6):
            await log.append(group(f"source-{number}"))
        return log

    async def tamper(self, db: Connection, *statements: str) -> None:
        """What the owner of the tables could do, and nobody else."""
        await db.execute("ALTER TABLE registry.events DISABLE TRIGGER USER")
        for statement in statements:
            await db.execute(statement)

    async def test_an_untouched_log_verifies(self, filled: EventLog) -> None:
        assert (await filled.verify()).position == 6

    async def test_a_changed_byte_is_found(
        self, filled: EventLog, db: Connection
    ) -> None:
        await self.tamper(
            db,
            "UPDATE registry.events SET data = replace(data, '\"x\"', '\"y\"')"
            " WHERE position = 3",
        )
        with pytest.raises(ChainBroken) as broken:
            await filled.verify()
        assert broken.value.position == 3

    async def test_a_removed_row_is_found(
        self, filled: EventLog, db: Connection
    ) -> None:
        await self.tamper(db, "DELETE FROM registry.events WHERE position = 4")
        with pytest.raises(ChainBroken) as broken:
            await filled.verify()
        assert broken.value.position == 4

    async def test_a_tail_cut_without_the_head_is_found(
        self, filled: EventLog, db: Connection
    ) -> None:
        await self.tamper(db, "DELETE FROM registry.events WHERE position > 4")
        with pytest.raises(ChainBroken) as broken:
            await filled.verify()
        assert broken.value.position == 5

    async def test_a_head_that_was_put_back_is_found(
        self, filled: EventLog, db: Connection
    ) -> None:
        await self.tamper(
            db,
            "UPDATE registry.head SET hash = e.hash, position = 5"
            " FROM registry.events e WHERE e.position = 4",
        )
        with pytest.raises(ChainBroken):
            await filled.verify()


class TestAppendOnly:
    @pytest.mark.parametrize("schema", ["registry", "issuance"])
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE {table} SET type = 'x'",
            "DELETE FROM {table}",
            "TRUNCATE {table}",
        ],
        ids=["update", "delete", "truncate"],
    )
    async def test_history_cannot_be_rewritten(
        self,
        log: EventLog,
        issuance: EventLog,
        db: Connection,
        schema: str,
        statement: str,
    ) -> None:
        for each in (log, issuance):
            await each.append(group("a-1"))
        tables = [f"{schema}.events"]
        if schema == "issuance":
            now = await db.fetchval("SELECT now() AT TIME ZONE 'UTC'")
            tables.append(f"issuance.events_{now:%Y_%m}")
        for table in tables:
            with pytest.raises(asyncpg.RaiseError, match="append-only"):
                await db.execute(statement.format(table=table))

    async def test_a_service_role_may_read_and_append_and_nothing_else(
        self, database_url: str, db: Connection
    ) -> None:
        role = f"service_{os.getpid()}"
        await db.execute(f"CREATE ROLE {role}")
        try:
            await migrate(db, "registry", event_log_migrations(), service_role=role)
            await db.execute(f"SET ROLE {role}")
            await db.fetch("SELECT * FROM registry.events")
            await db.fetch(
                call_of("registry"),
                *arguments_of([encode_group(group("a-1"))]),
            )
            assert await db.fetchval("SELECT count(*) FROM registry.events") == 1
            for forbidden in (
                "INSERT INTO registry.events SELECT * FROM registry.events",
                "UPDATE registry.events SET type = 'x'",
                "DELETE FROM registry.events",
                "TRUNCATE registry.events",
                "UPDATE registry.head SET position = 0",
                "DELETE FROM registry.spent_jtis",
                "INSERT INTO registry.commands VALUES ('c', 1, 1)",
                "UPDATE registry.checkpoints SET position = 0",
                "CREATE TABLE registry.mine (x int)",
                "ALTER TABLE registry.events DISABLE TRIGGER USER",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await db.execute(forbidden)
        finally:
            await db.execute("RESET ROLE")
            await db.execute(f"DROP OWNED BY {role}")
            await db.execute(f"DROP ROLE {role}")

    async def test_who_was_not_granted_it_may_not_append(
        self, database_url: str, db: Connection
    ) -> None:
        role = f"stranger_{os.getpid()}"
        await db.execute(f"CREATE ROLE {role}")
        try:
            await db.execute(f"GRANT USAGE ON SCHEMA registry TO {role}")
            await db.execute(f"SET ROLE {role}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await db.fetch(
                    call_of("registry"), *arguments_of([encode_group(group("a-1"))])
                )
        finally:
            await db.execute("RESET ROLE")
            await db.execute(f"DROP OWNED BY {role}")
            await db.execute(f"DROP ROLE {role}")


class TestUpgrade:
    """A log of the version before, and its processes beside those of this one."""

    EARLIER = (1, 2, 3)
    """The files that the version before came with."""

    APPEND = (
        "SELECT * FROM {log}.append("
        "$1, '{{1}}', '{{1}}', $2, '{{1}}', '{{1}}', $3, $4, $5, $6,"
        " NULL, NULL, NULL, NULL)"
    )
    """One event on a stream at a stated version, as that version asked for it."""

    @pytest.mark.parametrize("by_month", [False, True])
    async def test_both_versions_continue_the_same_log(
        self, database: Database, *, by_month: bool
    ) -> None:
        files = event_log_migrations(by_month=by_month)
        earlier = [each for each in files if each.number in self.EARLIER]
        db = await connect(database.url, application_name="t")
        try:
            assert await migrate(db, "registry", earlier) == len(earlier)
            for version in range(3):
                assert await self.append_as_before(db, version) == "appended"
            assert await migrate(db, "registry", files) == len(files) - len(earlier)
            async with (
                open_pool(database.url, application_name="t") as pool,
                open_event_log("registry", pool, database.url) as log,
            ):
                for version in range(3, 9, 2):
                    place = await log.append(group("a-1", expected={"a-1": version}))
                    assert place == Appended(version + 1, version + 1)
                    assert await self.append_as_before(db, version + 1) == "appended"
                    assert await self.append_as_before(db, version) == "conflict"
                    with pytest.raises(WrongExpectedVersion):
                        await log.append(group("a-1", expected={"a-1": version}))
                versions = [each.version for each in await log.load("a-1")]
                assert versions == list(range(1, 10))
                assert (await log.verify()).position == 9
        finally:
            await db.close()

    @pytest.mark.parametrize("by_month", [False, True])
    async def test_a_session_goes_on_when_the_function_it_calls_is_replaced(
        self, database: Database, *, by_month: bool
    ) -> None:
        *earlier, replacing = event_log_migrations(by_month=by_month)
        db = await connect(database.url, application_name="t")
        try:
            await migrate(db, "registry", earlier)
            async with (
                open_pool(database.url, application_name="t") as pool,
                open_event_log("registry", pool, database.url) as log,
            ):
                for version in range(4):
                    if version == 2:
                        await migrate(db, "registry", [*earlier, replacing])
                    wanted = group("a-1", "b-1", expected={"a-1": version})
                    await log.append(wanted)
                    with pytest.raises(WrongExpectedVersion):
                        await log.append(wanted)
                assert (await log.verify()).position == 8
        finally:
            await db.close()

    async def append_as_before(self, db: Connection, version: int) -> str:
        encoded = encode_group(group("a-1"))
        row = await db.fetchrow(
            self.APPEND.format(log="registry"),
            "a-1",
            f"{{{version}}}",
            encoded.types[0],
            encoded.data[0],
            encoded.digests[0],
            encoded.metadata,
        )
        assert row is not None
        outcome: str = row["outcome"]
        return outcome


class TestMonths:
    async def test_each_month_gets_a_partition_of_its_own(
        self, issuance: EventLog, db: Connection
    ) -> None:
        await issuance.append(group("a-1"))
        await db.execute("UPDATE issuance.head SET recorded_at = $1", LATER)
        await issuance.append(group("a-1", expected={"a-1": 1}))
        rows = await db.fetch(
            "SELECT tableoid::regclass::text AS part, version FROM issuance.events"
            " ORDER BY position"
        )
        assert [row["version"] for row in rows] == [1, 2]
        assert rows[1]["part"] == "issuance.events_2126_01"
        await issuance.verify()

    async def test_a_month_ends_where_utc_says(
        self, issuance: EventLog, db: Connection
    ) -> None:
        """To the microsecond, and whatever the session takes for its time."""
        february = datetime(2126, 2, 1, tzinfo=UTC)
        moments = [
            february - timedelta(microseconds=1),
            february,
            february + timedelta(days=27, hours=23),
            february + timedelta(days=28),
            february + timedelta(days=365),
        ]
        await db.execute("SET timezone TO 'Asia/Kolkata'")
        arguments = arguments_of([encode_group(group("a-1"))])
        for moment in moments:
            await db.execute("UPDATE issuance.head SET recorded_at = $1", moment)
            await db.fetch(call_of("issuance"), *arguments)
        rows = await db.fetch(
            "SELECT tableoid::regclass::text AS part FROM issuance.events"
            " ORDER BY position"
        )
        assert [row["part"].removeprefix("issuance.events_") for row in rows] == [
            "2126_01",
            "2126_02",
            "2126_02",
            "2126_03",
            "2127_02",
        ]
        await issuance.verify()


class TestCheckpoints:
    async def test_a_checkpoint_only_grows(self, db: Connection, log: EventLog) -> None:
        advance = "SELECT registry.advance_checkpoint('relay', $1)"
        reached = [await db.fetchval(advance, position) for position in (5, 3, 9)]
        assert reached == [5, 5, 9]


class TestMigrations:
    async def test_running_them_again_changes_nothing(
        self, database_url: str, db: Connection
    ) -> None:
        assert await migrate(db, "registry", event_log_migrations()) == 0

    async def test_two_at_once_apply_each_file_once(self, database: Database) -> None:
        connections = [
            await connect(database.url, application_name="m") for _ in range(2)
        ]
        try:
            counts = await asyncio.gather(
                *(
                    migrate(each, "tokens", event_log_migrations())
                    for each in connections
                )
            )
        finally:
            for each in connections:
                await each.close()
        assert sorted(counts) == [0, len(event_log_migrations())]

    async def test_a_file_that_changed_after_it_was_applied_is_refused(
        self, database_url: str, db: Connection
    ) -> None:
        first, second, *later = event_log_migrations()
        changed = Migration(second.number, second.name, second.sql + "-- new")
        with pytest.raises(MigrationRefused, match="has changed"):
            await migrate(db, "registry", [first, changed, *later])

    async def test_a_database_of_a_later_version_is_refused(
        self, database_url: str, db: Connection
    ) -> None:
        with pytest.raises(MigrationRefused, match="lacks"):
            await migrate(db, "registry", event_log_migrations()[:1])


class TestTrouble:
    async def test_a_database_that_is_not_there_is_said_so_in_time(self) -> None:
        url = "postgresql://postgres@127.0.0.1:1/none"
        async with (
            open_pool(url, application_name="t") as pool,
            open_event_log("registry", pool, url) as log,
        ):
            with pytest.raises(LogUnavailable):
                await log.head()
            async with asyncio.timeout(8):
                with pytest.raises(LogUnavailable):
                    await log.append(group("a-1"))

    async def test_a_full_disk_refuses_appends_and_leaves_no_half_of_one(
        self, log: EventLog, db: Connection
    ) -> None:
        """A trigger says what the server does then, in the middle of the work."""
        await log.append(group("a-1"))
        await db.execute("""
            CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full';
            END $$
        """)
        await db.execute("""
            CREATE TRIGGER full_disk AFTER INSERT ON registry.events
            FOR EACH STATEMENT EXECUTE FUNCTION no_space()
        """)
        outcomes = await asyncio.gather(
            *(log.append(group("a-1", "a-2")) for _ in range(20)),
            *(log.append(group("a-3", command_id=f"c{n}")) for n in range(20)),
            return_exceptions=True,
        )
        assert {type(outcome) for outcome in outcomes} == {LogUnavailable}
        assert [each.version for each in await log.load("a-1")] == [1]
        await db.execute("DROP TRIGGER full_disk ON registry.events")
        assert await log.append(group("a-1", "a-2")) == Appended(2, 3)
        assert await log.append(group("a-3", command_id="c0")) == Appended(4, 4)
        assert (await log.verify()).position == 4

    async def test_a_connection_cut_before_the_answer_is_unknown_without_a_command_id(
        self, log: EventLog, db: Connection
    ) -> None:
        """The lock is held elsewhere, so the call waits; then its session is ended."""
        async with db.transaction():
            await db.execute("SELECT * FROM registry.head FOR UPDATE")
            named = asyncio.create_task(log.append(group("a-1", command_id="c")))
            anonymous = asyncio.create_task(log.append(group("a-2")))
            await terminate_waiting_appends(db)
            with pytest.raises(AppendOutcomeUnknown):
                await anonymous
        assert await named == Appended(1, 1)  # tried again: the log would notice

    async def test_a_lost_answer_is_made_good_by_the_command_id(
        self, log: EventLog, database_url: str
    ) -> None:
        """The call commits and the client never hears of it: P4 of the fault table."""
        proxy = await AnswerEater.start(database_url)
        async with (
            open_pool(proxy.url, application_name="t") as pool,
            open_event_log("registry", pool, proxy.url) as behind,
        ):
            await behind.append(group("a-1"))  # connect and prepare first
            proxy.eat_next_answer()
            place = await behind.append(group("a-2", command_id="c"))
        await proxy.close()
        assert proxy.ate
        assert place == Appended(2, 2)
        assert (await log.head()).position == 2

    async def test_a_long_lock_is_waited_for_and_then_refused_in_time(
        self, log: EventLog, db: Connection
    ) -> None:
        await db.execute("SET idle_in_transaction_session_timeout = 0")
        async with db.transaction():
            await db.execute("SELECT * FROM registry.head FOR UPDATE")
            async with asyncio.timeout(8):
                with pytest.raises(LogUnavailable):
                    await log.append(group("a-1"))
        assert await log.append(group("a-1", expected={"a-1": 0})) == Appended(1, 1)


WAITING = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def waiting_appends(db: Connection, *, at_least: int) -> int:
    """How many sessions wait for the head row, as soon as there are that many."""
    waiting = 0
    async with asyncio.timeout(5):
        while waiting < at_least:
            # A transaction sees the activity as it was when it first looked.
            await db.execute("SELECT pg_stat_clear_snapshot()")
            waiting = len(await db.fetch(WAITING))
    return waiting


async def terminate_waiting_appends(db: Connection, *, at_most: int = 100) -> None:
    """End sessions that wait for the head row, as soon as there are any."""
    await waiting_appends(db, at_least=1)
    await db.execute(
        f"SELECT pg_terminate_backend(pid) FROM ({WAITING} LIMIT {at_most}) AS waiting"  # noqa: S608
    )


class AnswerEater:
    """A TCP proxy to PostgreSQL that can lose an answer and cut the connection."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._eating = False
        self.ate = False
        self.url = ""

    @classmethod
    async def start(cls, url: str) -> "AnswerEater":
        parsed = asyncpg.connect_utils.urllib.parse.urlsplit(url)
        eater = cls(parsed.hostname, parsed.port)
        eater._server = await asyncio.start_server(eater._serve, "127.0.0.1", 0)
        port = eater._server.sockets[0].getsockname()[1]
        eater.url = url.replace(f":{parsed.port}/", f":{port}/")
        return eater

    def eat_next_answer(self) -> None:
        self._eating = True

    async def close(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        upstream = await asyncio.open_connection(*self._target)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pump(reader, upstream[1], answers=False))
            both.create_task(self._pump(upstream[0], writer, answers=True))

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        *,
        answers: bool,
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await source.read(65536):
                if answers and self._eating:
                    self._eating, self.ate = False, True
                    break
                sink.write(chunk)
                await sink.drain()
        sink.close()
