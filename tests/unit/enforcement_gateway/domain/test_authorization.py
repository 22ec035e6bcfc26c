"""Which request passes: by what the logs say, one doubt after the other (DESIGN 7)."""

from collections.abc import Iterable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from enforcement_gateway.domain.authorization import (
    OF_TOKENS,
    Admit,
    Deny,
    Facts,
    Naming,
    Verdict,
    authorize,
    facts_about,
    named_source,
)
from enforcement_gateway.domain.denials import Reason
from tollgate.events import Event
from tollgate.events.registry import (
    Enforcement,
    KeyDeleted,
    OAuthAppDeleted,
    OAuthAppDisconnected,
    ScopesChanged,
    SourceDeleted,
    WriteKeyAdded,
    WriteKeyDeleted,
)
from tollgate.events.tokens import (
    AllTokensRevoked,
    KeyTokensRevoked,
    OldTokensRevoked,
    SigningKeyCompromised,
    SigningKeyRetired,
    TokenRevoked,
)
from tollgate.oauth.access_tokens import LEEWAY, TokenRefusal, VerifiedAccessToken
from tollgate.oauth.scopes import DEFAULT_AUDIENCES, Scope
from tollgate.testing.folded_logs import RECORDED_AT, FoldedLogs, key_added
from tollgate.testing.tokens import verified_access_token

NOW = RECORDED_AT
AT = NOW.timestamp()
TRACKING = Scope.TRACKING_API_WRITE
OFF, REPORT, ENFORCE = Enforcement.OFF, Enforcement.REPORT, Enforcement.ENFORCE

TOKEN = verified_access_token(
    signing_kid="signer",
    audiences=frozenset({DEFAULT_AUDIENCES[TRACKING]}),
    scopes=frozenset({TRACKING.value}),
    iat=AT - 3600,
    exp=AT + 3600,
)


@pytest.fixture
def logs() -> FoldedLogs:
    """One app, connected to one source that enforces; one that reports, one open."""
    logs = FoldedLogs()
    logs.signing_key("signer")
    logs.app()
    logs.source("enforced", ENFORCE, "app_1")
    logs.source("reporting", REPORT, "app_1")
    logs.source("open")
    return logs


def naming_of(
    logs: FoldedLogs,
    *write_keys: str,
    source_id: str | None = None,
    admit_unknown: bool = False,
) -> Naming:
    return named_source(
        write_keys, logs.registry, source_id=source_id, admit_unknown=admit_unknown
    )


def verdict_of(
    logs: FoldedLogs,
    token: VerifiedAccessToken | Reason = TOKEN,
    write_keys: Iterable[str] = ("enforced-key",),
    *,
    scope: Scope = TRACKING,
    now: float = AT,
    fresh: bool = True,
) -> Verdict:
    """The verdict on a request with these keys, which name a guarded source."""
    naming = named_source(write_keys, logs.registry)
    assert naming.source is not None
    return authorize(
        token,
        facts_about(token, naming, logs.registry, logs.tokens),
        scope=scope,
        audience=DEFAULT_AUDIENCES[scope],
        now=now,
        fresh=fresh,
    )


class TestNamedSource:
    @pytest.mark.parametrize("name", ["enforced", "reporting"])
    def test_a_guarded_source_asks_for_a_token(
        self, logs: FoldedLogs, name: str
    ) -> None:
        naming = naming_of(logs, f"{name}-key", f"{name}-key")
        assert naming == Naming(logs.registry.sources[f"src_{name}"])

    def test_open_sources_ask_for_nothing(self, logs: FoldedLogs) -> None:
        logs.source("open-too")
        assert naming_of(logs, "open-key") == Naming()
        assert naming_of(logs, "open-key", "open-too-key") == Naming()

    def test_connected_is_not_enforced(self, logs: FoldedLogs) -> None:
        logs.source("connected", OFF, "app_1")
        assert naming_of(logs, "connected-key") == Naming()

    def test_two_keys_of_one_source_agree(self, logs: FoldedLogs) -> None:
        logs.record("source-src_enforced", WriteKeyAdded(write_key="second"))
        naming = naming_of(logs, "second", "enforced-key")
        assert naming == Naming(logs.registry.sources["src_enforced"])

    @pytest.mark.parametrize(
        ("keys", "decides"),
        [
            (("enforced-key", "open-key"), "enforced"),
            (("open-key", "enforced-key"), "enforced"),
            (("reporting-key", "open-key"), "reporting"),
            (("reporting-key", "enforced-key"), "enforced"),
            (("enforced-key", "reporting-key"), "enforced"),
            (("open-key", "reporting-key", "enforced-key"), "enforced"),
        ],
    )
    def test_keys_that_disagree_are_mixed_and_the_strictest_decides(
        self, logs: FoldedLogs, keys: tuple[str, ...], decides: str
    ) -> None:
        source = logs.registry.sources[f"src_{decides}"]
        assert naming_of(logs, *keys) == Naming(source, Reason.SOURCES_MIXED)

    def test_no_key_at_all_is_refused(self, logs: FoldedLogs) -> None:
        assert naming_of(logs).reason is Reason.WRITE_KEY_MISSING

    @pytest.mark.parametrize("other", ["open-key", "enforced-key", "reporting-key"])
    def test_an_unknown_key_is_refused_whatever_stands_beside_it(
        self, logs: FoldedLogs, other: str
    ) -> None:
        for keys in (("nobodys",), ("nobodys", other), (other, "nobodys")):
            assert naming_of(logs, *keys) == Naming(reason=Reason.WRITE_KEY_UNKNOWN)

    @pytest.mark.parametrize("admit_unknown", [False, True])
    def test_a_deleted_key_stays_known_and_is_refused(
        self, logs: FoldedLogs, *, admit_unknown: bool
    ) -> None:
        logs.record("source-src_open", WriteKeyDeleted(write_key="open-key"))
        naming = naming_of(logs, "open-key", admit_unknown=admit_unknown)
        assert naming == Naming(reason=Reason.WRITE_KEY_DELETED)

    @pytest.mark.parametrize("admit_unknown", [False, True])
    def test_so_is_the_key_of_a_deleted_source(
        self, logs: FoldedLogs, *, admit_unknown: bool
    ) -> None:
        logs.record("source-src_open", SourceDeleted())
        naming = naming_of(logs, "open-key", admit_unknown=admit_unknown)
        assert naming == Naming(reason=Reason.WRITE_KEY_DELETED)


class TestUnknownKeysMayPass:
    """While a deployment migrates, by a setting."""

    def test_alone_or_beside_open_ones(self, logs: FoldedLogs) -> None:
        for keys in ((), ("nobodys",), ("nobodys", "else"), ("nobodys", "open-key")):
            naming = naming_of(logs, *keys, admit_unknown=True)
            assert (naming.source, naming.reason) == (None, None)
            assert naming.overlooked is ("nobodys" in keys)

    @pytest.mark.parametrize("name", ["enforced", "reporting"])
    def test_never_beside_a_guarded_one(self, logs: FoldedLogs, name: str) -> None:
        for keys in (("nobodys", f"{name}-key"), (f"{name}-key", "nobodys")):
            source = logs.registry.sources[f"src_{name}"]
            naming = naming_of(logs, *keys, admit_unknown=True)
            assert naming == Naming(source, Reason.SOURCES_MIXED)


class TestFunctionAddresses:
    def test_one_that_is_not_ours_does_not_matter(self, logs: FoldedLogs) -> None:
        naming = naming_of(logs, "open-key", source_id="foreign")
        assert naming == Naming()

    def test_one_of_ours_is_named_as_a_key_names_it(self, logs: FoldedLogs) -> None:
        source = logs.registry.sources["src_enforced"]
        mixed = Naming(source, Reason.SOURCES_MIXED)
        assert naming_of(logs, "open-key", source_id="src_enforced") == mixed
        assert naming_of(logs, "enforced-key", source_id="src_open") == mixed
        same = naming_of(logs, "enforced-key", source_id="src_enforced")
        assert same == Naming(source)

    def test_one_of_ours_that_was_deleted_is_refused(self, logs: FoldedLogs) -> None:
        logs.source("gone")
        logs.record("source-src_gone", SourceDeleted())
        naming = naming_of(logs, "open-key", source_id="src_gone")
        assert naming == Naming(reason=Reason.SOURCE_DELETED)


class TestAdmitted:
    def test_a_good_token_of_the_connected_app(self, logs: FoldedLogs) -> None:
        assert verdict_of(logs) == Admit("app_1")

    def test_each_door_asks_for_its_own_scope(self, logs: FoldedLogs) -> None:
        for scope in Scope:
            token = replace(
                TOKEN,
                scopes=frozenset({scope.value}),
                audiences=frozenset({DEFAULT_AUDIENCES[scope]}),
            )
            assert verdict_of(logs, token, scope=scope) == Admit("app_1")

    def test_a_token_for_several_doors(self, logs: FoldedLogs) -> None:
        token = replace(
            TOKEN,
            scopes=frozenset(scope.value for scope in Scope),
            audiences=frozenset(DEFAULT_AUDIENCES.values()),
        )
        for scope in Scope:
            assert verdict_of(logs, token, scope=scope) == Admit("app_1")


class TestNoToken:
    @pytest.mark.parametrize(
        "reason",
        [
            Reason.TOKEN_MISSING,
            Reason.CREDENTIALS_MALFORMED,
            Reason.TOKEN_SIGNATURE_WRONG,
        ],
    )
    def test_the_reason_is_passed_on(self, logs: FoldedLogs, reason: Reason) -> None:
        assert verdict_of(logs, reason) == Deny(reason)

    def test_every_refusal_of_a_token_is_told_as_what_it_is(self) -> None:
        told = {refusal: OF_TOKENS[refusal] for refusal in TokenRefusal}
        assert len(set(told.values())) == len(TokenRefusal) - 1  # two are malformed
        assert told[TokenRefusal.WRONG_TYPE] is told[TokenRefusal.MALFORMED]


class TestDoors:
    def test_a_token_for_another_door_is_refused(self, logs: FoldedLogs) -> None:
        for scope in (Scope.FUNCTIONS_WRITE, Scope.PUBLIC_API_READ_WRITE):
            verdict = verdict_of(logs, scope=scope)
            assert verdict == Deny(Reason.TOKEN_AUDIENCE_WRONG)

    def test_the_audience_alone_opens_no_door(self, logs: FoldedLogs) -> None:
        token = replace(TOKEN, scopes=frozenset({Scope.FUNCTIONS_WRITE.value}))
        assert verdict_of(logs, token) == Deny(Reason.SCOPE_MISSING)

    @pytest.mark.parametrize(
        "scopes",
        [
            {"tracking_api:writes"},
            {"TRACKING_API:WRITE"},
            {"tracking_api:write "},
            {"tracking_api"},
            {"*"},
        ],
    )
    def test_a_scope_is_meant_to_the_letter(
        self, logs: FoldedLogs, scopes: set[str]
    ) -> None:
        token = replace(TOKEN, scopes=frozenset(scopes))
        assert verdict_of(logs, token) == Deny(Reason.SCOPE_MISSING)


class TestTime:
    @pytest.mark.parametrize("late", [0.0, 1.0, LEEWAY - 0.001])
    def test_an_expired_token_is_good_for_thirty_seconds_more(
        self, logs: FoldedLogs, late: float
    ) -> None:
        assert LEEWAY == 30
        assert verdict_of(logs, now=TOKEN.exp + late) == Admit("app_1")

    @pytest.mark.parametrize("late", [LEEWAY, LEEWAY + 0.001, 1e9])
    def test_and_no_longer(self, logs: FoldedLogs, late: float) -> None:
        assert verdict_of(logs, now=TOKEN.exp + late) == Deny(Reason.TOKEN_EXPIRED)

    def test_a_token_may_begin_later(self, logs: FoldedLogs) -> None:
        token = replace(TOKEN, nbf=AT + 40)
        assert verdict_of(logs, token) == Deny(Reason.TOKEN_NOT_YET_VALID)
        assert verdict_of(logs, token, now=AT + 10) == Admit("app_1")


class TestRevoked:
    @pytest.mark.parametrize(
        "revocation",
        [
            TokenRevoked(jti="jti-1", expires_at=NOW + timedelta(days=1)),
            AllTokensRevoked(),
            KeyTokensRevoked(kid="kid-1"),
            OldTokensRevoked(issued_before=NOW),
        ],
    )
    def test_the_token_is_cut(self, logs: FoldedLogs, revocation: Event) -> None:
        logs.record("oauth_app-app_1", revocation)
        assert verdict_of(logs) == Deny(Reason.TOKEN_REVOKED)

    @pytest.mark.parametrize(
        "revocation",
        [
            TokenRevoked(jti="jti-2", expires_at=NOW + timedelta(days=1)),
            KeyTokensRevoked(kid="kid-2"),
            OldTokensRevoked(issued_before=NOW - timedelta(hours=1)),
        ],
    )
    def test_another_is_not(self, logs: FoldedLogs, revocation: Event) -> None:
        logs.record("oauth_app-app_1", revocation)
        assert verdict_of(logs) == Admit("app_1")

    def test_what_cuts_another_app_leaves_this_one_alone(
        self, logs: FoldedLogs
    ) -> None:
        expiry = NOW + timedelta(days=1)
        logs.record(
            "oauth_app-app_2",
            AllTokensRevoked(),
            TokenRevoked(jti="jti-1", expires_at=expiry),
        )
        assert verdict_of(logs) == Admit("app_1")

    @pytest.mark.parametrize(
        "revocation", [AllTokensRevoked(), KeyTokensRevoked(kid="kid-1")]
    )
    def test_a_token_minted_since_is_good(
        self, logs: FoldedLogs, revocation: Event
    ) -> None:
        logs.record("oauth_app-app_1", revocation)
        assert verdict_of(logs, replace(TOKEN, rev=1)) == Admit("app_1")
        logs.record("oauth_app-app_1", revocation)
        assert verdict_of(logs, replace(TOKEN, rev=1)) == Deny(Reason.TOKEN_REVOKED)


class TestSigningKeys:
    def test_an_unknown_one_may_be_unheard_of(self, logs: FoldedLogs) -> None:
        """The token is remembered, and the log was put back to before its key."""
        token = replace(TOKEN, signing_kid="other")
        assert verdict_of(logs, token) == Deny(Reason.TOKEN_SIGNING_KEY_UNKNOWN)

    def test_a_retired_one_leaves_its_tokens_alive(self, logs: FoldedLogs) -> None:
        retired = SigningKeyRetired(last_expiry=NOW + timedelta(days=31))
        logs.record("signing_key-signer", retired)
        assert verdict_of(logs) == Admit("app_1")

    def test_but_signs_nothing_for_later(self, logs: FoldedLogs) -> None:
        latest = NOW + timedelta(days=31)
        logs.record("signing_key-signer", SigningKeyRetired(last_expiry=latest))
        last = replace(TOKEN, exp=latest.timestamp())
        assert verdict_of(logs, last) == Admit("app_1")
        forged = replace(TOKEN, exp=latest.timestamp() + 1)
        assert verdict_of(logs, forged) == Deny(Reason.TOKEN_SIGNING_KEY_RETIRED)

    def test_a_compromised_one_ends_its_tokens_at_once(self, logs: FoldedLogs) -> None:
        logs.record("signing_key-signer", SigningKeyCompromised())
        logs.signing_key("successor")
        assert verdict_of(logs) == Deny(Reason.TOKEN_SIGNING_KEY_COMPROMISED)
        token = replace(TOKEN, signing_kid="successor")
        assert verdict_of(logs, token) == Admit("app_1")


class TestApps:
    def test_an_unknown_one_is_refused(self, logs: FoldedLogs) -> None:
        token = replace(TOKEN, client_id="app_9")
        assert verdict_of(logs, token) == Deny(Reason.APP_UNKNOWN)

    def test_a_deleted_one_is_refused(self, logs: FoldedLogs) -> None:
        logs.record("oauth_app-app_1", OAuthAppDeleted())
        assert verdict_of(logs) == Deny(Reason.APP_DELETED)

    def test_its_deleted_key_ends_the_tokens(self, logs: FoldedLogs) -> None:
        logs.record("oauth_app-app_1", key_added("kid-2"), KeyDeleted(kid="kid-1"))
        assert verdict_of(logs) == Deny(Reason.APP_KEY_RETIRED)
        assert verdict_of(logs, replace(TOKEN, key="kid-2/3")) == Admit("app_1")

    def test_unless_the_tokens_were_kept(self, logs: FoldedLogs) -> None:
        logs.record("oauth_app-app_1", KeyDeleted(kid="kid-1", keep_tokens=True))
        assert verdict_of(logs) == Admit("app_1")

    def test_a_key_added_again_is_another_one(self, logs: FoldedLogs) -> None:
        logs.record("oauth_app-app_1", KeyDeleted(kid="kid-1"), key_added("kid-1"))
        assert verdict_of(logs) == Deny(Reason.APP_KEY_RETIRED)
        assert verdict_of(logs, replace(TOKEN, key="kid-1/4")) == Admit("app_1")

    def test_tokens_kept_from_a_key_stay_kept_when_it_comes_back(
        self, logs: FoldedLogs
    ) -> None:
        logs.record(
            "oauth_app-app_1",
            KeyDeleted(kid="kid-1", keep_tokens=True),
            key_added("kid-1"),
            KeyDeleted(kid="kid-1"),
        )
        assert verdict_of(logs) == Admit("app_1")
        token = replace(TOKEN, key="kid-1/4")
        assert verdict_of(logs, token) == Deny(Reason.APP_KEY_RETIRED)

    def test_a_key_from_the_future_was_not_heard_of_yet(self, logs: FoldedLogs) -> None:
        token = replace(TOKEN, key="kid-2/3")
        assert verdict_of(logs, token) == Deny(Reason.APP_KEY_UNKNOWN)

    def test_a_key_of_another_app_is_none_of_this_one(self, logs: FoldedLogs) -> None:
        logs.app("app_2", "kid-2")
        token = replace(TOKEN, key="kid-2/2")
        assert verdict_of(logs, token) == Deny(Reason.APP_KEY_RETIRED)


class TestConnections:
    def test_another_app_is_refused(self, logs: FoldedLogs) -> None:
        logs.app("app_2")
        token = replace(TOKEN, client_id="app_2")
        assert verdict_of(logs, token) == Deny(Reason.SOURCE_NOT_CONNECTED)

    def test_the_token_of_another_source_is_refused(self, logs: FoldedLogs) -> None:
        logs.app("app_2")
        logs.source("other", ENFORCE, "app_2")
        verdict = verdict_of(logs, TOKEN, ["other-key"])
        assert verdict == Deny(Reason.SOURCE_NOT_CONNECTED)

    def test_one_app_serves_several_sources(self, logs: FoldedLogs) -> None:
        logs.source("other", ENFORCE, "app_1")
        assert verdict_of(logs, TOKEN, ["other-key"]) == Admit("app_1")

    def test_a_source_without_an_app_admits_nobody(self, logs: FoldedLogs) -> None:
        """The registry allows no such source; should one appear, it is closed."""
        logs.record("source-src_enforced", OAuthAppDisconnected(app_id="app_1"))
        assert verdict_of(logs) == Deny(Reason.SOURCE_NOT_CONNECTED)

    def test_keys_that_disagree_admit_nobody(self, logs: FoldedLogs) -> None:
        logs.source("other", ENFORCE, "app_1")
        for keys in (["enforced-key", "open-key"], ["enforced-key", "other-key"]):
            assert verdict_of(logs, TOKEN, keys) == Deny(Reason.SOURCES_MIXED)


class TestScopes:
    def test_a_token_has_those_that_its_app_still_has(self, logs: FoldedLogs) -> None:
        scopes = (Scope.FUNCTIONS_WRITE.value,)
        logs.record("oauth_app-app_1", ScopesChanged(scopes=scopes))
        assert verdict_of(logs) == Deny(Reason.SCOPE_WITHDRAWN)
        logs.record("oauth_app-app_1", ScopesChanged(scopes=(TRACKING.value,)))
        assert verdict_of(logs) == Admit("app_1")

    def test_it_does_not_gain_what_its_app_gains(self, logs: FoldedLogs) -> None:
        token = replace(TOKEN, scopes=frozenset({Scope.FUNCTIONS_WRITE.value}))
        scopes = tuple(scope.value for scope in Scope)
        logs.record("oauth_app-app_1", ScopesChanged(scopes=scopes))
        assert verdict_of(logs, token) == Deny(Reason.SCOPE_MISSING)


class TestAge:
    def test_an_old_view_decides_nothing_about_a_guarded_source(
        self, logs: FoldedLogs
    ) -> None:
        assert verdict_of(logs, fresh=False) == Deny(Reason.VIEW_TOO_OLD)
        for reason in (Reason.TOKEN_MISSING, Reason.TOKEN_SIGNATURE_WRONG):
            assert verdict_of(logs, reason, fresh=False) == Deny(Reason.VIEW_TOO_OLD)


class TestOrder:
    """What a new token cures is told only if nothing worse is wrong with this one."""

    def test_bad_before_stale(self, logs: FoldedLogs) -> None:
        stale = replace(TOKEN, audiences=frozenset({"urn:other"}), exp=0.0)
        assert verdict_of(logs, stale) == Deny(Reason.TOKEN_AUDIENCE_WRONG)

    def test_stale_before_forbidden(self, logs: FoldedLogs) -> None:
        logs.app("app_2")
        elsewhere = replace(TOKEN, client_id="app_2", exp=0.0)
        assert verdict_of(logs, elsewhere) == Deny(Reason.TOKEN_EXPIRED)

    def test_mixed_sources_before_tokens(self, logs: FoldedLogs) -> None:
        keys = ["enforced-key", "open-key"]
        verdict = verdict_of(logs, Reason.TOKEN_MISSING, keys)
        assert verdict == Deny(Reason.SOURCES_MIXED)


def test_nobody_passes_by_default() -> None:
    verdict = authorize(
        TOKEN,
        Facts(),
        scope=TRACKING,
        audience=DEFAULT_AUDIENCES[TRACKING],
        now=AT,
        fresh=True,
    )
    assert isinstance(verdict, Deny)
