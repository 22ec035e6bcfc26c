"""A state that was written down and read again is the same, and goes on the same."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from tollgate.events import Event, RecordedEvent
from tollgate.events.registry import (
    Enforcement,
    EnforcementChanged,
    KeyAdded,
    KeyDeleted,
    OAuthAppConnected,
    OAuthAppCreated,
    OAuthAppDeleted,
    OAuthAppDisconnected,
    ScopesChanged,
    SourceConnected,
    SourceCreated,
    SourceDeleted,
    SourceDisconnected,
    SourceRenamed,
    WriteKeyAdded,
    WriteKeyDeleted,
)
from tollgate.events.tokens import (
    AllTokensRevoked,
    KeyTokensRevoked,
    OldTokensRevoked,
    SigningKeyAnnounced,
    TokenRevoked,
)
from tollgate.oauth.scopes import Scope
from tollgate.registry.oauth_app import OAuthApp
from tollgate.registry.source import Source
from tollgate.registry.state import Lead, RegistryState
from tollgate.state_parts import PART, in_parts, shape_of
from tollgate.testing.memory_log import START, MemoryLog
from tollgate.tokens.state import TokensState

Facts: TypeAlias = Sequence[tuple[str, Event]]

few = st.sampled_from(["1", "2", "3"])
scopes = st.lists(st.sampled_from(Scope), unique=True).map(tuple)
registry_facts: st.SearchStrategy[tuple[str, Event]] = st.one_of(
    st.tuples(
        few.map("source-src_{}".format),
        st.one_of(
            st.builds(
                SourceCreated,
                workspace_id=few,
                name=st.text(max_size=3),
                source_type=few,
            ),
            st.builds(SourceRenamed, name=st.text(max_size=3)),
            st.builds(WriteKeyAdded, write_key=few),
            st.builds(WriteKeyDeleted, write_key=few),
            st.builds(OAuthAppConnected, app_id=few.map("app_{}".format)),
            st.builds(OAuthAppDisconnected, app_id=few.map("app_{}".format)),
            st.builds(EnforcementChanged, mode=st.sampled_from(Enforcement)),
            st.just(SourceDeleted()),
        ),
    ),
    st.tuples(
        few.map("oauth_app-app_{}".format),
        st.one_of(
            st.builds(
                OAuthAppCreated,
                workspace_id=few,
                name=few,
                token_lifetime=st.just(86_400),
                scopes=scopes,
            ),
            st.builds(ScopesChanged, scopes=scopes),
            st.builds(KeyAdded, kid=few, name=few, alg=few, pem=few),
            st.builds(KeyDeleted, kid=few, keep_tokens=st.booleans()),
            st.builds(SourceConnected, source_id=few.map("src_{}".format)),
            st.builds(SourceDisconnected, source_id=few.map("src_{}".format)),
            st.just(OAuthAppDeleted()),
        ),
    ),
)
key_facts: st.SearchStrategy[tuple[str, Event]] = st.tuples(
    st.sampled_from("12").map("source-src_{}".format),
    st.one_of(
        st.builds(WriteKeyAdded, write_key=st.sampled_from("12")),
        st.builds(WriteKeyDeleted, write_key=st.sampled_from("12")),
        st.just(SourceDeleted()),
    ),
)
"""What becomes of keys that several sources want."""
BEGUN: Facts = [
    fact
    for number in "123"
    for fact in (
        (
            f"source-src_{number}",
            SourceCreated(workspace_id="1", name="n", source_type="python"),
        ),
        (f"source-src_{number}", WriteKeyAdded(write_key=number)),
        (f"source-src_{number}", OAuthAppConnected(app_id=f"app_{number}")),
        (f"source-src_{number}", EnforcementChanged(mode=Enforcement.ENFORCE)),
    )
]
"""Sources that ask for tokens: to meet one by chance takes long."""
registry_histories: st.SearchStrategy[Facts] = st.builds(
    lambda begun, later: [*begun, *later],
    st.sampled_from([[], BEGUN]),
    st.lists(registry_facts, max_size=30),
)
moments = st.integers(0, 1_000).map(lambda seconds: START + timedelta(seconds=seconds))
revocation_facts: st.SearchStrategy[tuple[str, Event]] = st.tuples(
    few.map("oauth_app-app_{}".format),
    st.one_of(
        st.builds(TokenRevoked, jti=few, expires_at=moments),
        st.just(AllTokensRevoked()),
        st.builds(KeyTokensRevoked, kid=few),
        st.builds(OldTokensRevoked, issued_before=moments),
    ),
)
tokens_facts: st.SearchStrategy[tuple[str, Event]] = st.one_of(
    revocation_facts,
    st.tuples(
        few.map("signing_key-{}".format),
        st.builds(SigningKeyAnnounced, alg=few, pem=few),
    ),
)


@given(
    st.lists(registry_facts, max_size=30) | st.lists(key_facts, max_size=15),
    st.lists(registry_facts, max_size=10) | st.lists(key_facts, max_size=5),
)
def test_a_registry_that_is_read_again_is_the_same_and_goes_on_the_same(
    facts: Facts, later: Facts
) -> None:
    state = RegistryState()
    log = MemoryLog()
    extend(state, log, facts)
    again = RegistryState.of_parts(state.parts())
    assert held_by(again) == held_by(state)
    begun = len(log.events)
    extend(state, log, later)
    for recorded in log.events[begun:]:
        again.apply(recorded)
    assert held_by(again) == held_by(state)
    assert again.dump() == state.dump()


@given(st.lists(tokens_facts, max_size=30), st.lists(tokens_facts, max_size=10))
def test_revocations_that_are_read_again_are_the_same_and_go_on_the_same(
    facts: Facts, later: Facts
) -> None:
    state = TokensState()
    log = MemoryLog("tokens")
    extend(state, log, facts)
    again = TokensState.of_parts(state.parts())
    begun = len(log.events)
    extend(state, log, later)
    for recorded in log.events[begun:]:
        again.apply(recorded)
    assert again.signing_keys == state.signing_keys
    assert again.versions == state.versions
    assert again.cuts == state.cuts
    for client_id in ("app_1", "app_2", "app_3"):
        for jti in "123":
            claims = {"client_id": client_id, "jti": jti, "key": "1/1", "iat": 9e9}
            for rev in (0, 5, 99):
                answers = [
                    each.is_revoked(rev=rev, **claims)  # type: ignore[arg-type]
                    for each in (state, again)
                ]
                assert answers[0] == answers[1]


def extend(state: RegistryState | TokensState, log: MemoryLog, facts: Facts) -> None:
    for stream, fact in facts:
        for recorded in log.append(stream, fact):
            state.apply(recorded)


@given(st.lists(registry_facts, max_size=30))
def test_an_app_honours_the_keys_it_holds_and_those_it_keeps(facts: Facts) -> None:
    state = RegistryState()
    extend(state, MemoryLog(), facts)
    for app in state.apps.values():
        plain = {key.claim for key in app.keys.values()} | app.kept_keys
        versions = range(1, app.version + 2)
        asked = [f"{kid}/{version}" for kid in "123" for version in versions]
        assert {key for key in asked if app.honours(key)} == plain


@given(registry_histories)
def test_a_live_write_key_leads_to_its_source_as_it_is_now(facts: Facts) -> None:
    state = RegistryState()
    extend(state, MemoryLog(), facts)
    for write_key, belonging in state.write_keys.items():
        if belonging.live:
            assert belonging.source is state.sources[belonging.source_id]
            assert write_key in belonging.source.write_keys
            assert not belonging.source.deleted
    for source in state.sources.values():
        for write_key in source.write_keys:
            assert write_key in state.write_keys


@given(registry_histories, st.lists(st.integers(1, 8), min_size=1, max_size=8))
def test_events_are_folded_the_same_in_blocks_of_any_size(
    facts: Facts, sizes: list[int]
) -> None:
    single, log = RegistryState(), MemoryLog()
    extend(single, log, facts)
    blocks = RegistryState()
    for block in in_blocks(log, sizes):
        lines = b"".join(map(line_of, block))
        assert blocks.fold_lines(block[0].position, lines) == len(block)
        assert_write_keys_lead_to_what_is(blocks)
    assert blocks.dump() == single.dump()
    assert held_by(blocks) == held_by(single)


@given(
    st.lists(revocation_facts, max_size=30),
    st.lists(st.integers(1, 8), min_size=1, max_size=8),
)
def test_revocations_are_folded_the_same_in_blocks_of_any_size(
    facts: Facts, sizes: list[int]
) -> None:
    single, log = TokensState(), MemoryLog("tokens")
    extend(single, log, facts)
    blocks = TokensState()
    for block in in_blocks(log, sizes):
        lines = b"".join(map(line_of, block))
        assert blocks.fold_lines(block[0].position, lines) == len(block)
        blocks.reach(block[-1].recorded_at)
    assert blocks.dump() == single.dump()


@given(st.lists(revocation_facts, min_size=1, max_size=30))
def test_revocations_are_folded_the_same_if_the_time_at_the_end_is_told_first(
    facts: Facts,
) -> None:
    single, log = TokensState(), MemoryLog("tokens")
    extend(single, log, facts)
    block = TokensState()
    block.reach(log.events[-1].recorded_at)
    block.fold_lines(1, b"".join(map(line_of, log.events)))
    assert block.dump() == single.dump()


def in_blocks(log: MemoryLog, sizes: list[int]) -> Iterator[list[RecordedEvent]]:
    left, number = list(log.events), 0
    while left:
        size = sizes[number % len(sizes)]
        yield left[:size]
        left, number = left[size:], number + 1


@given(st.lists(registry_facts, max_size=20), st.lists(registry_facts, max_size=20))
def test_whoever_holds_an_entity_has_it_as_it_was(facts: Facts, later: Facts) -> None:
    state, log = RegistryState(), MemoryLog()
    extend(state, log, facts)
    entities = [*state.sources.values(), *state.apps.values()]
    as_they_were = [told_by(each) for each in entities]
    begun = len(log.events)
    for stream, fact in later:
        log.append(stream, fact)
    following = log.events[begun:]
    if following:
        lines = b"".join(map(line_of, following))
        state.fold_lines(following[0].position, lines)
    assert [told_by(each) for each in entities] == as_they_were


@given(registry_histories, st.booleans())
def test_a_write_key_leads_to_the_app_whose_tokens_its_source_asks_for(
    facts: Facts, read_again: bool
) -> None:
    state = RegistryState()
    extend(state, MemoryLog(), facts)
    if read_again:
        state = RegistryState.of_parts(state.parts())
    assert_write_keys_lead_to_what_is(state)


@pytest.mark.parametrize(
    "fact",
    [
        EnforcementChanged(mode=Enforcement.OFF),
        EnforcementChanged(mode=Enforcement.REPORT),
        SourceDeleted(),
        OAuthAppDisconnected(app_id="app_1"),
    ],
)
def test_a_source_that_is_read_again_asks_for_no_more_than_one_of_the_same_app(
    fact: Event,
) -> None:
    state = RegistryState()
    connected = ("source-src_2", OAuthAppConnected(app_id="app_1"))
    extend(state, MemoryLog(), [*BEGUN, connected, ("source-src_2", fact)])
    assert_write_keys_lead_to_what_is(RegistryState.of_parts(state.parts()))


@given(registry_histories, st.lists(st.lists(few, max_size=2), min_size=1))
def test_what_was_asked_about_leads_to_what_it_would_lead_to_now(
    facts: Facts, asked: list[list[str]]
) -> None:
    state, log = RegistryState(), MemoryLog()
    led = dict[str, Lead]()
    for number, fact in enumerate(facts):
        extend(state, log, [fact])
        for write_key, lead in led.items():
            if lead.holds:
                assert state.lead_of(write_key) is lead
                missing = OAuthApp(id=lead.app.id)
                assert lead.app is state.apps.get(lead.app.id) or lead.app == missing
        for write_key in asked[number % len(asked)]:
            told = state.lead_of(write_key)
            if told is not None:
                assert told.holds
                led[write_key] = told


@pytest.mark.parametrize(
    ("fact", "app_id"),
    [
        (("source-src_2", WriteKeyAdded(write_key="1")), "app_2"),
        (("source-src_1", WriteKeyDeleted(write_key="1")), None),
        (("source-src_1", OAuthAppConnected(app_id="app_3")), "app_3"),
        (("source-src_1", EnforcementChanged(mode=Enforcement.OFF)), None),
    ],
)
def test_what_a_key_was_told_to_lead_to_holds_until_it_leads_elsewhere(
    fact: tuple[str, Event], app_id: str | None
) -> None:
    state, log = RegistryState(), MemoryLog()
    extend(state, log, BEGUN)
    told = state.lead_of("1")
    assert told is not None
    extend(state, log, [("source-src_3", EnforcementChanged(mode=Enforcement.REPORT))])
    assert told.holds
    extend(state, log, [fact])
    assert not told.holds
    now = state.lead_of("1")
    assert (None if now is None else now.app.id) == app_id


def test_a_source_that_is_created_again_begins_anew() -> None:
    state, log = RegistryState(), MemoryLog()
    again = SourceCreated(workspace_id="2", name="again", source_type="php")
    extend(state, log, [*BEGUN, ("source-src_1", again)])
    assert state.sources["src_1"] == Source(
        id="src_1", version=5, workspace_id="2", name="again", source_type="php"
    )
    assert not state.write_keys["1"].live


def told_by(entity: Source | OAuthApp) -> dict[str, object]:
    """All that it says, in values of our own."""
    told = asdict(entity)
    if isinstance(entity, OAuthApp):
        told |= {"sources": set(entity.sources), "keys": dict(entity.keys)}
    return told


def assert_write_keys_lead_to_what_is(state: RegistryState) -> None:
    for write_key, known in state.write_keys.items():
        source = state.sources[known.source_id]
        assert known.live is (write_key in source.write_keys and not source.deleted)
        asks = source.app_id is not None and source.enforcement is not Enforcement.OFF
        if not known.live:
            assert known.guard is None
        elif asks:
            assert known.guard is not None
            missing = OAuthApp(id=source.app_id or "")
            assert known.guard.app == state.apps.get(missing.id, missing)
            assert known.guard.app.id == missing.id
        else:
            assert known.guard is None


def line_of(recorded: RecordedEvent) -> bytes:
    """An event as a replay reads it."""
    assert recorded.data is not None
    head = f'[{recorded.version},"{recorded.stream}",'
    return head.encode() + bytes(recorded.data) + b"]\n"


def held_by(state: RegistryState) -> list[object]:
    keys = {key: (each.source_id, each.live) for key, each in state.write_keys.items()}
    return [state.sources, keys, state.apps, state.dump()]


def test_sources_of_an_app_are_a_set_in_order() -> None:
    state, log = RegistryState(), MemoryLog()
    connections = [SourceConnected(source_id=each) for each in ("b", "a", "b")]
    extend(state, log, [("oauth_app-app_1", each) for each in connections])
    assert tuple(state.apps["app_1"].sources) == ("b", "a")
    extend(state, log, [("oauth_app-app_1", SourceDisconnected(source_id="b"))])
    assert tuple(state.apps["app_1"].sources) == ("a",)


@pytest.mark.parametrize("read_again", [False, True])
def test_what_many_say_is_held_once(*, read_again: bool) -> None:
    state, log = RegistryState(), MemoryLog()
    workspace = "ws_of_them_all"
    for number in "12":
        created = SourceCreated(
            workspace_id=workspace, name=number, source_type="python-server"
        )
        source = f"source-src_number_{number}"
        extend(state, log, [(source, created), (source, WriteKeyAdded(write_key="k1"))])
        extend(state, log, [(source, OAuthAppConnected(app_id="app_of_them_all"))])
        scope = (f"scope:{workspace}",)
        app = OAuthAppCreated(
            workspace_id=workspace, name=number, token_lifetime=1, scopes=scope
        )
        stream = f"oauth_app-app_number_{number}"
        extend(state, log, [(stream, app)])
        connected = SourceConnected(source_id=f"src_number_{number}")
        extend(state, log, [(stream, connected)])
    if read_again:
        state = RegistryState.of_parts(state.parts())
    first, second = state.sources.values()
    assert first.workspace_id is second.workspace_id
    assert first.source_type is second.source_type
    assert first.app_id is second.app_id
    one, other = state.apps.values()
    assert one.workspace_id is first.workspace_id
    assert one.scopes is other.scopes
    assert next(iter(one.sources)) is first.id
    assert next(iter(state.sources)) is first.id


def test_no_entity_is_walked_by_the_collector_of_garbage() -> None:
    state, log = RegistryState(), MemoryLog()
    extend(state, log, [("source-src_1", SourceRenamed(name="n"))])
    extend(state, log, [("oauth_app-app_1", SourceConnected(source_id="src_1"))])
    for entity in (state.sources["src_1"], state.apps["app_1"]):
        assert not type(entity).__struct_config__.gc


@pytest.mark.parametrize("count", [0, 1, PART, PART + 1])
def test_parts_are_bounded_and_hold_everything(count: int) -> None:
    parts = list(in_parts(range(count)))
    assert [each for part in parts for each in part] == list(range(count))
    assert all(1 <= len(part) <= PART for part in parts)


class _One(msgspec.Struct, array_like=True):
    first: str
    second: str


class _Swapped(msgspec.Struct, array_like=True):
    second: str
    first: str


def test_a_shape_is_another_where_members_have_changed_places() -> None:
    renamed = type("_One", (_Swapped,), {"__qualname__": "_One"})
    assert shape_of(_One) == shape_of(_One)
    assert shape_of(list[_One]) != shape_of(list[renamed])  # type: ignore[valid-type]


@pytest.mark.parametrize("last", "12")
@pytest.mark.parametrize("own", [(), ("own",)])
def test_a_key_that_several_sources_had_added_leads_to_the_last(
    own: tuple[str, ...], last: str
) -> None:
    state, log = RegistryState(), MemoryLog()
    added = WriteKeyAdded(write_key="wanted")
    source = f"source-src_{last}"
    facts: Facts = [
        *((source, WriteKeyAdded(write_key=key)) for key in own),
        *((f"source-src_{number}", added) for number in ("1", "2", last)),
        (source, OAuthAppConnected(app_id="app_1")),
        (source, EnforcementChanged(mode=Enforcement.ENFORCE)),
    ]
    extend(state, log, facts)
    again = RegistryState.of_parts(state.parts())
    assert held_by(again) == held_by(state)
    for key in ("wanted", *own):
        lead = again.lead_of(key)
        assert lead is not None
        assert lead.app.id == "app_1"
    for recorded in log.append(source, EnforcementChanged(mode=Enforcement.OFF)):
        again.apply(recorded)
    assert again.lead_of("wanted") is None
