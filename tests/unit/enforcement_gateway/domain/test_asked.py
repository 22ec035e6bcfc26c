"""What write keys lead to is known as the registry tells it, however many there are."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from enforcement_gateway.domain.authorization import (
    MAX_ASKED,
    Demand,
    Grounds,
    KnownToken,
    admits_plainly,
)
from tollgate.registry.oauth_app import OAuthApp
from tollgate.registry.state import Lead, RegistryState
from tollgate.testing.tokens import verified_access_token
from tollgate.tokens.state import SigningKey, TokensState

TO_TRACK = Demand("write", "tracking")
VERIFIED = verified_access_token(
    signing_kid="signer-1",
    audiences=frozenset({TO_TRACK.audience}),
    scopes=frozenset({TO_TRACK.scope}),
)


def new_lead() -> Lead:
    scopes = frozenset({TO_TRACK.scope})
    return Lead(OAuthApp(id="app_1", scopes=scopes, honoured=("kid-1/2",)))


class Told(RegistryState):
    """Leads as a test says, and which keys were looked up."""

    def __init__(self, *write_keys: str) -> None:
        super().__init__()
        self.leads = {each: new_lead() for each in write_keys}
        self.looked_up: list[str] = []

    def lead_of(self, write_key: str) -> Lead | None:
        self.looked_up.append(write_key)
        return self.leads.get(write_key)

    def end(self, write_key: str) -> None:
        self.leads[write_key].holds = False
        self.leads[write_key] = new_lead()


def grounds_of(registry: RegistryState) -> Grounds:
    tokens = TokensState()
    tokens.signing_keys["signer-1"] = SigningKey(
        kid="signer-1",
        alg="ES256",
        pem="",
        version=1,
        announced_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return Grounds(registry, tokens)


def led_to(grounds: Grounds, write_key: str) -> Lead | None:
    """By a decision about a token that would pass at whatever the key leads to."""
    token = KnownToken(b"token", VERIFIED)
    text = write_key.encode().decode()  # of its own, as each request has it
    assert admits_plainly(token, text, grounds, TO_TRACK) is (token.lead is not None)
    return token.lead


KEYS = st.text(max_size=60)


@given(st.lists(KEYS, min_size=1, max_size=30), st.lists(KEYS, max_size=10), st.data())
def test_each_key_leads_where_the_registry_says(
    known: list[str], others: list[str], data: st.DataObject
) -> None:
    registry = Told(*known)
    grounds = grounds_of(registry)
    for _ in range(3):
        for write_key in known + others:
            lead = registry.leads.get(write_key)
            assert led_to(grounds, write_key) is lead
        registry.end(data.draw(st.sampled_from(known)))


def test_what_holds_is_not_looked_up_again() -> None:
    registry = Told("a", "b")
    grounds = grounds_of(registry)
    for write_key in "abab":
        assert led_to(grounds, write_key) is registry.leads[write_key]
    assert registry.looked_up == ["a", "b"]
    registry.end("a")
    for write_key in "abab":
        assert led_to(grounds, write_key) is registry.leads[write_key]
    assert registry.looked_up == ["a", "b", "a"]


def test_what_leads_nowhere_is_looked_up_each_time() -> None:
    registry = Told()
    grounds = grounds_of(registry)
    assert led_to(grounds, "a") is None
    registry.leads["a"] = new_lead()
    assert led_to(grounds, "a") is registry.leads["a"]


def test_no_more_keys_are_remembered_than_said() -> None:
    keys = [str(number) for number in range(MAX_ASKED + 1)]
    registry = Told(*keys)
    grounds = grounds_of(registry)
    for write_key in keys:
        assert led_to(grounds, write_key) is registry.leads[write_key]
    registry.looked_up.clear()
    assert led_to(grounds, keys[-1]) is registry.leads[keys[-1]]
    assert registry.looked_up == []
    assert led_to(grounds, keys[0]) is registry.leads[keys[0]]
    assert registry.looked_up == [keys[0]]
