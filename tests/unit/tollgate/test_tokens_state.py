"""What the tokens log says of a token."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tollgate.events import Event, RecordedEvent, UnreadableEvent, encode
from tollgate.events.recorded import tag_of
from tollgate.events.tokens import (
    AllTokensRevoked,
    KeyTokensRevoked,
    OldTokensRevoked,
    SigningKeyActivated,
    SigningKeyAnnounced,
    SigningKeyCompromised,
    SigningKeyRetired,
    TokenRevoked,
)
from tollgate.tokens.revoked import FORGET_AFTER
from tollgate.tokens.state import SigningKeyStatus, TokensState

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


def state_of(
    *facts: Event, stream: str = "oauth_app-app_1", at: datetime = NOW
) -> TokensState:
    """The state after `facts`, recorded one after another on one stream."""
    state = TokensState()
    extend(state, *facts, stream=stream, at=at)
    return state


def extend(
    state: TokensState,
    *facts: Event,
    stream: str = "oauth_app-app_1",
    at: datetime = NOW,
    version: int = 1,
) -> None:
    for place, fact in enumerate(facts, start=version):
        state.apply(
            RecordedEvent(
                position=place,
                stream=stream,
                version=place,
                type=tag_of(type(fact)),
                recorded_at=at,
                hash="",
                data=msgspec.Raw(encode(fact)),
                metadata=msgspec.Raw(b"{}"),
            )
        )


def is_revoked(state: TokensState, **claims: object) -> bool:
    token = {"client_id": "app_1", "jti": "j", "key": "k/2", "rev": 0, "iat": 0.0}
    return state.is_revoked(**{**token, **claims})  # type: ignore[arg-type]


class TestOneToken:
    revoked = TokenRevoked(jti="dead", expires_at=LATER)

    def test_only_the_token_with_that_jti_of_that_app_is_cut(self) -> None:
        state = state_of(self.revoked)
        assert is_revoked(state, jti="dead")
        assert not is_revoked(state, jti="alive")
        assert not is_revoked(state, jti="dead", client_id="app_2")

    def test_it_is_forgotten_by_the_time_of_the_log_only(self) -> None:
        state = state_of(self.revoked)
        other = TokenRevoked(jti="other", expires_at=LATER + timedelta(days=9))
        extend(state, other, at=LATER + FORGET_AFTER, version=2)
        assert is_revoked(state, jti="dead")
        after = LATER + FORGET_AFTER + timedelta(seconds=1)
        extend(state, other, at=after, version=3)
        assert not is_revoked(state, jti="dead")
        assert is_revoked(state, jti="other")


class TestAllTokens:
    def test_tokens_minted_before_are_cut_and_those_after_are_not(self) -> None:
        state = state_of(TokenRevoked(jti="x", expires_at=LATER), AllTokensRevoked())
        assert is_revoked(state, rev=0)
        assert is_revoked(state, rev=1)
        assert not is_revoked(state, rev=state.version_of("app_1"))

    def test_other_apps_are_left_alone(self) -> None:
        assert not is_revoked(state_of(AllTokensRevoked()), client_id="app_2")


class TestTokensOfAKey:
    def test_only_tokens_of_that_key_minted_before_are_cut(self) -> None:
        state = state_of(KeyTokensRevoked(kid="k"))
        assert is_revoked(state, key="k/2")
        assert is_revoked(state, key="k/9")
        assert not is_revoked(state, key="other/2")
        assert not is_revoked(state, key="k/2", rev=1)


class TestOldTokens:
    def test_tokens_issued_before_are_cut(self) -> None:
        state = state_of(OldTokensRevoked(issued_before=NOW))
        assert is_revoked(state, iat=NOW.timestamp() - 1, rev=99)
        assert not is_revoked(state, iat=NOW.timestamp())

    def test_an_earlier_moment_takes_nothing_back(self) -> None:
        state = state_of(
            OldTokensRevoked(issued_before=NOW),
            OldTokensRevoked(issued_before=NOW - timedelta(hours=1)),
        )
        assert is_revoked(state, iat=NOW.timestamp() - 1)


class TestSigningKeys:
    stream = "signing_key-sk"
    announced = SigningKeyAnnounced(alg="ES256", pem="PEM")

    @pytest.mark.parametrize(
        ("facts", "status", "verifies"),
        [
            ((), SigningKeyStatus.ANNOUNCED, True),
            ((SigningKeyActivated(),), SigningKeyStatus.ACTIVE, True),
            (
                (SigningKeyActivated(), SigningKeyRetired(last_expiry=LATER)),
                SigningKeyStatus.RETIRED,
                True,
            ),
            (
                (SigningKeyActivated(), SigningKeyCompromised()),
                SigningKeyStatus.COMPROMISED,
                False,
            ),
        ],
        ids=["announced", "active", "retired", "compromised"],
    )
    def test_its_life(
        self, facts: tuple[Event, ...], status: SigningKeyStatus, *, verifies: bool
    ) -> None:
        key = state_of(self.announced, *facts, stream=self.stream).signing_keys["sk"]
        assert (key.status, key.verifies) == (status, verifies)

    @pytest.mark.parametrize(
        "later", [SigningKeyActivated(), SigningKeyRetired(last_expiry=LATER)]
    )
    def test_compromised_is_for_good(self, later: Event) -> None:
        facts = (self.announced, SigningKeyActivated(), SigningKeyCompromised(), later)
        key = state_of(*facts, stream=self.stream).signing_keys["sk"]
        assert not key.verifies
        assert key.version == len(facts)

    def test_a_retired_one_outlives_the_tokens_it_signed_in_its_time(self) -> None:
        retired = SigningKeyRetired(last_expiry=LATER)
        before, after = (
            state_of(self.announced, *facts, stream=self.stream).signing_keys["sk"]
            for facts in ((), (SigningKeyActivated(), retired))
        )
        latest = LATER.timestamp()
        assert before.outlives(latest + 1)
        assert after.outlives(latest)
        assert not after.outlives(latest + 1)

    def test_one_that_was_never_announced_stops_the_reader(self) -> None:
        with pytest.raises(UnreadableEvent):
            state_of(SigningKeyActivated(), stream=self.stream)


@pytest.mark.parametrize(
    ("stream", "fact"),
    [
        ("signing_key-1", TokenRevoked(jti="j", expires_at=LATER)),
        ("app_1", AllTokensRevoked()),
        ("oauth_app-1", SigningKeyAnnounced(alg="ES256", pem="PEM")),
    ],
)
def test_an_event_of_another_kind_than_its_stream_stops_the_reader(
    stream: str, fact: Event
) -> None:
    with pytest.raises(UnreadableEvent, match="event 1 is of another kind"):
        state_of(fact, stream=stream)


def test_a_dump_loads_as_the_same_state_and_goes_on_forgetting() -> None:
    state = state_of(
        TokenRevoked(jti="dead", expires_at=LATER),
        KeyTokensRevoked(kid="k"),
        OldTokensRevoked(issued_before=NOW),
    )
    loaded = TokensState.load(state.dump())
    assert loaded.dump() == state.dump()
    assert is_revoked(loaded, jti="dead")
    after = LATER + FORGET_AFTER + timedelta(seconds=1)
    extend(loaded, AllTokensRevoked(), at=after, version=4)
    assert not is_revoked(loaded, jti="dead", rev=9, iat=NOW.timestamp())
