"""Whoever is admitted has every right to be, by the rules told a second time.

The oracle folds nothing: it looks through the history of both logs for what DESIGN 5
and 7 ask for, one question after the other, and knows only what was recorded.
"""

from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from typing import TypeAlias, TypeVar

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from enforcement_gateway.domain.authorization import (
    Admit,
    Demand,
    Grounds,
    KnownToken,
    admits_plainly,
    authorize,
    facts_about,
    named_source,
)
from enforcement_gateway.domain.denials import DENIALS, Reason
from tollgate.events import Event
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
    SourceCreated,
    SourceDeleted,
    WriteKeyAdded,
    WriteKeyDeleted,
)
from tollgate.events.tokens import (
    AllTokensRevoked,
    KeyTokensRevoked,
    OldTokensRevoked,
    SigningKeyAnnounced,
    SigningKeyCompromised,
    SigningKeyRetired,
    TokenRevoked,
)
from tollgate.oauth.access_tokens import VerifiedAccessToken
from tollgate.oauth.scopes import DEFAULT_AUDIENCES, Scope
from tollgate.registry.state import RegistryState
from tollgate.testing.folded_logs import RECORDED_AT, FoldedLogs, key_added
from tollgate.testing.tokens import verified_access_token
from tollgate.tokens.revoked import MAX_LATEST, RevokedTokens

NOW = RECORDED_AT.timestamp()
TRACKING = Scope.TRACKING_API_WRITE
FUNCTIONS = Scope.FUNCTIONS_WRITE

APPS = ("app_1", "app_2")
KIDS = ("kid-1", "kid-2")
SOURCES = ("src_a", "src_b")
WRITE_KEYS = {"src_a": ("a1", "a2"), "src_b": ("b1",)}
SIGNERS = ("signer-1", "signer-2")
JTIS = ("jti-1", "jti-2")

History: TypeAlias = list[tuple[str, Event]]
FactT = TypeVar("FactT", bound=Event)


# --- What happened ---


def opening() -> History:
    """Enough for a request to pass, before anything goes wrong."""
    history: History = []
    for app in APPS:
        created = OAuthAppCreated(
            workspace_id="ws_1", name=app, token_lifetime=86400, scopes=tuple(Scope)
        )
        history += [
            (f"oauth_app-{app}", fact) for fact in (created, key_added("kid-1"))
        ]
    for source in SOURCES:
        facts: list[Event] = [
            SourceCreated(workspace_id="ws_1", name=source, source_type="python"),
            *(WriteKeyAdded(write_key=key) for key in WRITE_KEYS[source]),
            OAuthAppConnected(app_id="app_1"),
            EnforcementChanged(mode=Enforcement.ENFORCE),
        ]
        history += [(f"source-{source}", fact) for fact in facts]
    announced = SigningKeyAnnounced(alg="ES256", pem="PEM")
    history += [(f"signing_key-{signer}", announced) for signer in SIGNERS]
    return history


TO_APPS = st.one_of(
    st.sampled_from(KIDS).map(key_added),
    st.builds(KeyDeleted, kid=st.sampled_from(KIDS), keep_tokens=st.booleans()),
    st.just(OAuthAppDeleted()),
    st.sampled_from([(TRACKING.value,), (FUNCTIONS.value,), tuple(Scope)]).map(
        lambda scopes: ScopesChanged(scopes=scopes)
    ),
)
TO_SOURCES = st.one_of(
    st.sampled_from(Enforcement).map(lambda mode: EnforcementChanged(mode=mode)),
    st.sampled_from(APPS).map(lambda app: OAuthAppConnected(app_id=app)),
    st.sampled_from(APPS).map(lambda app: OAuthAppDisconnected(app_id=app)),
)
TO_TOKENS = st.one_of(
    st.sampled_from(JTIS).map(
        lambda jti: TokenRevoked(jti=jti, expires_at=RECORDED_AT + timedelta(days=30))
    ),
    st.just(AllTokensRevoked()),
    st.sampled_from(KIDS).map(lambda kid: KeyTokensRevoked(kid=kid)),
    st.integers(-60, 60).map(
        lambda minutes: OldTokensRevoked(
            issued_before=RECORDED_AT + timedelta(minutes=minutes)
        )
    ),
)
TO_SIGNERS = st.one_of(
    st.just(SigningKeyCompromised()),
    st.integers(-60, 60).map(
        lambda minutes: SigningKeyRetired(
            last_expiry=RECORDED_AT + timedelta(minutes=minutes)
        )
    ),
)


def on(streams: list[str], facts: st.SearchStrategy[Event]) -> st.SearchStrategy:
    return st.tuples(st.sampled_from(streams), facts)


LATER = st.lists(
    st.one_of(
        on([f"oauth_app-{app}" for app in APPS], TO_APPS),
        on([f"source-{source}" for source in SOURCES], TO_SOURCES),
        on([f"oauth_app-{app}" for app in APPS], TO_TOKENS),
        on([f"signing_key-{signer}" for signer in SIGNERS], TO_SIGNERS),
        st.sampled_from(
            [
                ("source-src_a", WriteKeyDeleted(write_key="a2")),
                ("source-src_b", SourceDeleted()),
            ]
        ),
    ),
    max_size=4,
)
TOKENS = st.builds(
    VerifiedAccessToken,
    signing_kid=st.sampled_from([*["signer-1"] * 6, "signer-2", "signer-9"]),
    client_id=st.sampled_from(["app_1"] * 8 + ["app_2", "app_9"]),
    jti=st.sampled_from(JTIS),
    audiences=st.sampled_from(
        [frozenset(DEFAULT_AUDIENCES.values())] * 9
        + [frozenset({DEFAULT_AUDIENCES[scope]}) for scope in Scope]
    ),
    scopes=st.sampled_from(
        [frozenset(scope.value for scope in Scope)] * 9
        + [frozenset({scope.value}) for scope in Scope]
    ),
    key=st.sampled_from(["kid-1/2"] * 8 + ["kid-1/4", "kid-2/3", "kid-2/4"]),
    rev=st.integers(0, 3),
    iat=st.integers(-60, 0).map(lambda minutes: NOW + 60 * minutes),
    exp=st.sampled_from([NOW + 3600, NOW + 60, NOW - 29, NOW - 30]),
    nbf=st.sampled_from([0.0] * 6 + [NOW + 20, NOW + 31]),
)
KEYS_NAMED = st.sampled_from(
    [["a1"]] * 8 + [["a2"], ["a2", "a1"], ["b1"], ["b1", "a1"], ["a1", "nobodys"], []]
)


# --- What is right, told again ---


class Right:
    """Answers about one request, each from the history alone."""

    def __init__(
        self, history: History, token: VerifiedAccessToken, scope: Scope
    ) -> None:
        self._history = history
        self._token = token
        self._scope = scope

    def facts(self, stream: str, kind: type[FactT]) -> Iterator[tuple[int, FactT]]:
        """The facts of that kind on `stream`, with their versions there.

        A stream of an app stands in both logs, and is counted in each by itself.
        """
        version = 0
        for where, fact in self._history:
            if where == stream and type(fact).__module__ == kind.__module__:
                version += 1
                if isinstance(fact, kind):
                    yield version, fact

    def ever(self, stream: str, kind: type[FactT]) -> list[FactT]:
        return [fact for _, fact in self.facts(stream, kind)]

    def source_of(self, write_key: str) -> str | None:
        return next(
            (name for name, keys in WRITE_KEYS.items() if write_key in keys), None
        )

    def key_is_live(self, write_key: str) -> bool:
        source = self.source_of(write_key)
        if source is None:
            return False
        deleted = self.ever(f"source-{source}", WriteKeyDeleted)
        return not self.ever(f"source-{source}", SourceDeleted) and write_key not in {
            fact.write_key for fact in deleted
        }

    def mode_of(self, source: str) -> Enforcement:
        return self.ever(f"source-{source}", EnforcementChanged)[-1].mode

    def app_of(self, source: str) -> str | None:
        app = None
        for where, fact in self._history:
            if where == f"source-{source}":
                if isinstance(fact, OAuthAppConnected):
                    app = fact.app_id
                elif isinstance(fact, OAuthAppDisconnected):
                    app = None
        return app

    def signer_is_trusted(self) -> bool:
        stream = f"signing_key-{self._token.signing_kid}"
        if not self.ever(stream, SigningKeyAnnounced):
            return False
        if self.ever(stream, SigningKeyCompromised):
            return False
        retired = self.ever(stream, SigningKeyRetired)
        return not retired or self._token.exp <= retired[-1].last_expiry.timestamp()

    def is_timely(self) -> bool:
        return self._token.exp + 30 > NOW >= self._token.nbf - 30

    def is_cut(self) -> bool:
        token = self._token
        stream = f"oauth_app-{token.client_id}"
        single = {fact.jti for fact in self.ever(stream, TokenRevoked)}
        last = max((at for at, _ in self.facts(stream, AllTokensRevoked)), default=0)
        kid = token.key.split("/")[0]
        last_of_key = max(
            (
                at
                for at, fact in self.facts(stream, KeyTokensRevoked)
                if fact.kid == kid
            ),
            default=0,
        )
        moments = [
            fact.issued_before.timestamp()
            for fact in self.ever(stream, OldTokensRevoked)
        ]
        return (
            token.jti in single
            or token.rev < max(last, last_of_key)
            or any(token.iat < moment for moment in moments)
        )

    def app_is_there(self) -> bool:
        stream = f"oauth_app-{self._token.client_id}"
        return bool(self.ever(stream, OAuthAppCreated)) and not self.ever(
            stream, OAuthAppDeleted
        )

    def client_key_is_honoured(self) -> bool:
        """Added at that version, and since then not deleted without being kept."""
        kid, version = self._token.key.split("/")
        stream = f"oauth_app-{self._token.client_id}"
        added = [at for at, fact in self.facts(stream, KeyAdded) if fact.kid == kid]
        if int(version) not in added:
            return False
        since = [at for at in added if at > int(version)]
        deleted = [
            (at, fact.keep_tokens)
            for at, fact in self.facts(stream, KeyDeleted)
            if fact.kid == kid and at > int(version)
        ]
        if not since and not deleted:
            return True
        first_deleted, kept = min(deleted, default=(1_000_000, False))
        return kept and first_deleted < min(since, default=1_000_000)

    def has_scope(self) -> bool:
        stream = f"oauth_app-{self._token.client_id}"
        granted: tuple[str, ...] = ()
        for created in self.ever(stream, OAuthAppCreated):
            granted = created.scopes
        for changed in self.ever(stream, ScopesChanged):
            granted = changed.scopes
        return self._scope in self._token.scopes and self._scope in granted

    def may_write_to(self, source: str) -> bool:
        return (
            DEFAULT_AUDIENCES[self._scope] in self._token.audiences
            and self.signer_is_trusted()
            and self.is_timely()
            and not self.is_cut()
            and self.app_is_there()
            and self.client_key_is_honoured()
            and self.app_of(source) == self._token.client_id
            and self.has_scope()
        )


@settings(max_examples=200)
@given(
    later=LATER,
    token=TOKENS,
    write_keys=KEYS_NAMED,
    scope=st.sampled_from([TRACKING] * 3 + [FUNCTIONS]),
    fresh=st.sampled_from([True] * 5 + [False]),
)
def test_whoever_is_admitted_has_every_right(
    later: History,
    token: VerifiedAccessToken,
    write_keys: list[str],
    scope: Scope,
    *,
    fresh: bool,
) -> None:
    history = opening() + later
    logs = FoldedLogs()
    for stream, fact in history:
        logs.record(stream, fact)
    right = Right(history, token, scope)

    naming = named_source(write_keys, logs.registry)

    sources = {right.source_of(write_key) for write_key in write_keys}
    if not all(map(right.key_is_live, write_keys)) or not write_keys:
        assert naming.source is None
        assert naming.reason in {
            Reason.WRITE_KEY_MISSING,
            Reason.WRITE_KEY_UNKNOWN,
            Reason.WRITE_KEY_DELETED,
        }
        event("refused for its write keys")
        return
    modes = {source: right.mode_of(source) for source in sources if source is not None}
    guarded = {source for source, mode in modes.items() if mode is not Enforcement.OFF}
    if not guarded:
        assert (naming.source, naming.reason) == (None, None)
        event("open")
        return
    assert naming.source is not None
    assert naming.source.id in guarded
    if Enforcement.ENFORCE in modes.values():
        assert naming.source.enforcement is Enforcement.ENFORCE

    verdict = authorize(
        token,
        facts_about(token, naming, logs.registry, logs.tokens),
        scope=scope,
        audience=DEFAULT_AUDIENCES[scope],
        now=NOW,
        fresh=fresh,
    )

    may = fresh and len(sources) == 1 and right.may_write_to(naming.source.id)
    event("admitted" if may else "denied")
    assert isinstance(verdict, Admit) is may
    if isinstance(verdict, Admit):
        assert verdict.client_id == token.client_id
    else:
        assert DENIALS[verdict.reason].status in {401, 403, 503}


TO_TRACK = Demand(TRACKING.value, DEFAULT_AUDIENCES[TRACKING])
DEMANDS = st.sampled_from(
    [TO_TRACK] * 3 + [Demand(FUNCTIONS.value, DEFAULT_AUDIENCES[FUNCTIONS])]
)
ONE_KEY = st.sampled_from(["a1"] * 4 + ["a2", "b1", "nobodys"])


def plainly_admitted(
    known: KnownToken, write_key: str, grounds: Grounds, demand: Demand
) -> bool:
    return admits_plainly(
        known, write_key, grounds, demand
    ) and known.is_plainly_timely(NOW)


def admitted_by_the_rules(
    token: VerifiedAccessToken, write_key: str, logs: FoldedLogs, demand: Demand
) -> bool:
    naming = named_source([write_key], logs.registry)
    return naming.source is not None and isinstance(
        authorize(
            token,
            facts_about(token, naming, logs.registry, logs.tokens),
            scope=demand.scope,
            audience=demand.audience,
            now=NOW,
            fresh=True,
        ),
        Admit,
    )


@settings(max_examples=400)
@given(later=LATER, token=TOKENS, write_key=ONE_KEY, demand=DEMANDS)
def test_an_everyday_yes_is_the_yes_of_the_rules(
    later: History, token: VerifiedAccessToken, write_key: str, demand: Demand
) -> None:
    logs = FoldedLogs()
    for stream, fact in opening() + later:
        logs.record(stream, fact)
    grounds = Grounds(logs.registry, logs.tokens)
    if not plainly_admitted(KnownToken(b"token", token), write_key, grounds, demand):
        event("left to the rules")
        return
    event("an everyday yes")
    assert admitted_by_the_rules(token, write_key, logs, demand)


MOVED = st.builds(
    lambda source, key: (f"source-{source}", WriteKeyAdded(write_key=key)),
    st.sampled_from(SOURCES),
    st.sampled_from(["a1", "b1"]),
)


@settings(max_examples=400)
@given(
    later=st.lists(st.one_of(LATER, MOVED.map(lambda moved: [moved])), max_size=3).map(
        lambda some: [fact for each in some for fact in each]
    ),
    tokens=st.lists(TOKENS, min_size=1, max_size=2),
    asked=st.lists(st.tuples(ONE_KEY, DEMANDS), min_size=1, max_size=3),
    max_latest=st.sampled_from([MAX_LATEST, 1]),
)
def test_an_everyday_yes_forgets_nothing_that_happens(
    later: History,
    tokens: list[VerifiedAccessToken],
    asked: list[tuple[str, Demand]],
    max_latest: int,
) -> None:
    """Tokens, asked about again and again by what was a state's from the start.

    What they remember, and the state of them, changes no answer: it is what a state
    says that was just read, of a token that was not asked about before.
    """
    logs = FoldedLogs()
    logs.tokens.revoked = RevokedTokens(max_latest)
    grounds = Grounds(logs.registry, logs.tokens)
    known = [KnownToken(b"token", token) for token in tokens]
    said = set[bool]()
    for stream, fact in opening() + later:
        logs.record(stream, fact)
        again = RegistryState.load(logs.registry.dump())
        for token, (write_key, demand) in product(known, asked):
            says = plainly_admitted(token, write_key, grounds, demand)
            said.add(says)
            verified = token.verified
            anew = (
                KnownToken(b"token", verified),
                write_key,
                Grounds(again, logs.tokens),
            )
            assert says is plainly_admitted(*anew, demand)
            assert not says or admitted_by_the_rules(verified, write_key, logs, demand)
    event(f"says {' and '.join(sorted(map(str, said)))}")


def test_nothing_is_remembered_of_states_that_were_built_anew() -> None:
    before, after = FoldedLogs(), FoldedLogs()
    grounds = Grounds(before.registry, before.tokens)
    assert grounds.of(before.registry, before.tokens)
    assert not grounds.of(after.registry, before.tokens)
    assert not grounds.of(before.registry, after.tokens)


@pytest.mark.parametrize("mode", [Enforcement.ENFORCE, Enforcement.REPORT])
def test_nothing_odd_is_an_everyday_yes(mode: Enforcement) -> None:
    logs = FoldedLogs()
    for stream, fact in opening():
        logs.record(stream, fact)
    logs.record("source-src_a", EnforcementChanged(mode=mode))
    token = verified_access_token(
        signing_kid="signer-1",
        audiences=frozenset(DEFAULT_AUDIENCES.values()),
        scopes=frozenset({TRACKING.value}),
        iat=NOW,
        exp=NOW + 1,
    )
    grounds = Grounds(logs.registry, logs.tokens)
    assert plainly_admitted(KnownToken(b"token", token), "a1", grounds, TO_TRACK)


@given(
    later=LATER,
    write_keys=KEYS_NAMED,
    source_id=st.sampled_from([None, "foreign", *SOURCES]),
)
def test_a_setting_for_unknown_keys_never_opens_a_guarded_source(
    later: History, write_keys: list[str], source_id: str | None
) -> None:
    logs = FoldedLogs()
    for stream, fact in opening() + later:
        logs.record(stream, fact)
    known = {
        logs.registry.write_keys[key].source_id
        for key in write_keys
        if key in logs.registry.write_keys
    } | ({source_id} & set(SOURCES))
    guarded = any(
        logs.registry.sources[source].enforcement is not Enforcement.OFF
        for source in known
    )

    naming = named_source(
        write_keys, logs.registry, source_id=source_id, admit_unknown=True
    )

    passes = (naming.source, naming.reason) == (None, None)
    assert not (passes and guarded)
    assert naming.overlooked is (passes and "nobodys" in write_keys)
