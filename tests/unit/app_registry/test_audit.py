"""Three logs told as one story."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from app_registry import audit as audit_module
from app_registry.audit import Audit, AuditPage, Criteria, OneStream
from app_registry.directory import Directory
from app_registry.testing.workspace import FOUNDED, STRANGERS, app, key_added, source
from tollgate.events import Event, EventMetadata, RecordedEvent, encode
from tollgate.events.recorded import tag_of
from tollgate.events.registry import OAuthAppRenamed, WriteKeyClaimed
from tollgate.events.tokens import AllTokensRevoked, SigningKeyActivated
from tollgate.testing.scenario import recorded

START = datetime(2026, 1, 1, tzinfo=UTC)

DIRECTORY = Directory()
for each in recorded([*FOUNDED, *app("app_1"), *source("src_1"), *STRANGERS]):
    DIRECTORY.apply(each)

OURS, THEIRS = "oauth_app-app_1", "oauth_app-app_theirs"
revoked = AllTokensRevoked()


class Log(OneStream):
    """A log in a list, of which a read tells `page` events at most.

    `lost` events at its beginning are there no more.
    """

    def __init__(self, name: str, *, lost: int = 0, page: int = 3) -> None:
        super().__init__(name, [])
        self.lost = lost
        self.page = page
        self.reads = 0

    def append(
        self, second: int, stream: str, event: Event, actor: str = "x-1"
    ) -> None:
        fact = RecordedEvent(
            position=self.lost + len(self._events) + 1,
            stream=stream,
            version=1,
            type=tag_of(type(event)),
            recorded_at=START + timedelta(seconds=second),
            hash="",
            data=msgspec.Raw(encode(event)),
            metadata=msgspec.Raw(encode(EventMetadata(actor=actor))),
        )
        self._events = [*self._events, fact]

    async def read_after(self, position: int, limit: int) -> Sequence[RecordedEvent]:
        self.reads += 1
        return await super().read_after(position, min(limit, self.page))

    async def read_before(self, position: int, limit: int) -> Sequence[RecordedEvent]:
        return await audit_module._read_window(self, position, limit)


@pytest.fixture
def registry() -> Log:
    return Log("registry")


@pytest.fixture
def tokens() -> Log:
    return Log("tokens")


@pytest.fixture
def audit(registry: Log, tokens: Log) -> Audit:
    return Audit([registry, tokens])


def criteria(**changes: object) -> Criteria:
    known = Criteria(workspace_id="ws_1", logs=frozenset({"registry", "tokens"}))
    return replace(known, **changes)


def seconds(page: AuditPage) -> list[int]:
    return [int((e.recorded.recorded_at - START).total_seconds()) for e in page.events]


async def story(audit: Audit, wanted: Criteria, limit: int = 3) -> list[int]:
    """All pages, one after another."""
    told, places = [], None
    while True:
        page = await audit.page(wanted, DIRECTORY, limit=limit, places=places)
        told += seconds(page)
        if page.places is None:
            return told
        places = page.places


def fill(registry: Log, tokens: Log) -> None:
    for second in (1, 2, 5, 6, 9):
        registry.append(second, OURS, OAuthAppRenamed(name="x"))
    for second in (3, 4, 7, 8):
        tokens.append(second, OURS, revoked)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 9, 100])
async def test_logs_are_merged_by_time(
    audit: Audit, registry: Log, tokens: Log, limit: int
) -> None:
    fill(registry, tokens)
    assert await story(audit, criteria(), limit) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    newest = criteria(newest_first=True)
    assert await story(audit, newest, limit) == [9, 8, 7, 6, 5, 4, 3, 2, 1]


async def test_a_span_of_time_begins_with_its_first_moment_only(
    audit: Audit, registry: Log, tokens: Log
) -> None:
    fill(registry, tokens)
    moment = {n: START + timedelta(seconds=n) for n in range(11)}
    for since in range(11):
        for until in range(11):
            span = criteria(since=moment[since], until=moment[until])
            wanted = list(range(max(since, 1), min(until, 10)))
            assert await story(audit, span) == wanted
            backwards = replace(span, newest_first=True)
            assert await story(audit, backwards) == wanted[::-1]


async def test_what_is_recorded_meanwhile_is_told_later(
    audit: Audit, registry: Log, tokens: Log
) -> None:
    fill(registry, tokens)
    page = await audit.page(criteria(), DIRECTORY, limit=8)
    tokens.append(6, OURS, revoked)  # with the time of another machine
    rest = await audit.page(criteria(), DIRECTORY, limit=9, places=page.places)
    assert seconds(page) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert seconds(rest) == [6, 9]


async def test_only_the_events_of_the_workspace_are_told(
    audit: Audit, registry: Log, tokens: Log
) -> None:
    registry.append(1, THEIRS, OAuthAppRenamed(name="x"))
    registry.append(2, "workspace-ws_1", OAuthAppRenamed(name="x"))
    registry.append(3, "write_key-a", WriteKeyClaimed(source_id="src_1"))
    registry.append(4, "write_key-b", WriteKeyClaimed(source_id="src_theirs"))
    tokens.append(5, "signing_key-k", SigningKeyActivated())
    tokens.append(6, THEIRS, revoked)
    tokens.append(7, "oauth_app-unknown", revoked)
    assert await story(audit, criteria()) == [2, 3]
    assert await story(audit, criteria(workspace_id="ws_2")) == [1, 4, 6]


async def test_events_are_chosen_by_type_actor_and_stream(
    audit: Audit, registry: Log, tokens: Log
) -> None:
    registry.append(1, OURS, OAuthAppRenamed(name="x"), actor="member-a")
    registry.append(2, OURS, key_added("k"), actor="member-b")
    registry.append(3, "source-src_1", OAuthAppRenamed(name="x"), actor="member-b")
    tokens.append(4, OURS, revoked, actor="member-b")
    assert await story(audit, criteria(type="oauth_app.key_added")) == [2]
    assert await story(audit, criteria(actor="member-b")) == [2, 3, 4]
    assert await story(audit, criteria(stream=OURS)) == [1, 2, 4]
    assert await story(audit, criteria(stream=OURS, actor="member-b")) == [2, 4]
    assert await story(audit, criteria(logs=frozenset({"tokens"}))) == [4]


async def test_a_page_looks_at_a_bounded_number_of_events(
    audit: Audit, registry: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "SCAN_LIMIT", 10)
    for second in range(25):
        registry.append(second, THEIRS, OAuthAppRenamed(name="x"))
    registry.append(30, OURS, OAuthAppRenamed(name="x"))
    page = await audit.page(criteria(), DIRECTORY, limit=5)
    assert page.events == []
    assert page.places == {"registry": 10, "tokens": 0}
    assert await story(audit, criteria()) == [30]


async def test_a_log_may_begin_late() -> None:
    """Closed months of the issuance log are exported and dropped."""
    tokens = Log("tokens", lost=1000)
    for second in range(1, 8):
        tokens.append(second, OURS, revoked)
    audit = Audit([tokens])
    assert await story(audit, criteria()) == [1, 2, 3, 4, 5, 6, 7]
    assert await story(audit, criteria(newest_first=True)) == [7, 6, 5, 4, 3, 2, 1]
    since = criteria(since=START + timedelta(seconds=5))
    assert await story(audit, since) == [5, 6, 7]


async def test_a_moment_is_found_without_reading_the_log() -> None:
    tokens = Log("tokens", page=500)
    tokens._events = [
        replace(each, position=n, recorded_at=START + timedelta(seconds=n))
        for n, each in enumerate(recorded([(OURS, revoked)]) * 50_000, start=1)
    ]
    since = criteria(since=START + timedelta(seconds=49_990))
    assert await story(Audit([tokens]), since, limit=50) == list(range(49_990, 50_001))
    assert tokens.reads < 20
