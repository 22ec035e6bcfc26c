"""What write keys lead to is known as the registry tells it, however many there are."""

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcement_gateway.domain import asked
from enforcement_gateway.domain.authorization import (
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


# One is the start of another, one is longer than most, some are of no ASCII.
ODD = ["", "a", "ab", "x" * 55, "x" * 56, "x" * 54 + "y", "\u00e9", "\u20ac"]
KEYS = st.one_of(st.sampled_from(ODD), st.text(max_size=60))


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


SLOTS = 1024
"""Of a table that has just begun, where it is compiled."""


def beside(write_key: str, ahead: int = 0, begins: str = "") -> str:
    """A key that would stand where that one does, or so many slots behind."""
    slot = (hash(write_key) + ahead) % SLOTS
    keys = (f"{begins}{number}" for number in itertools.count())
    return next(key for key in keys if hash(key) % SLOTS == slot)


@pytest.mark.parametrize("write_key", ["a", "ab" * 16, "x" * 40])
def test_a_key_that_begins_as_another_in_its_place_is_told_from_it(
    write_key: str,
) -> None:
    longer = beside(write_key, begins=write_key)
    for known in [longer], [write_key], [write_key, longer], [longer, write_key]:
        registry = Told(*known)
        grounds = grounds_of(registry)
        for each in (*known, write_key, longer):
            assert led_to(grounds, each) is registry.leads.get(each)


@pytest.mark.parametrize("length", [54, 55, 56, 64, 119, 255, 256, 1000])
def test_a_long_key_leaves_its_neighbours_alone(length: int) -> None:
    write_key = "x" * length
    known = [write_key, *(beside(write_key, ahead) for ahead in (-1, 1, 2))]
    registry = Told(*known)
    grounds = grounds_of(registry)
    for each in known[::-1] + known:
        assert led_to(grounds, each) is registry.leads[each]


@pytest.mark.parametrize("width", [1, 8, 32, 48])
def test_many_keys_lead_each_to_its_own(width: int) -> None:
    """More than a table has room for at first, and some stand in each other's place."""
    keys = [f"{number:0{width}}" for number in range(5_000)]
    registry = Told(*keys)
    grounds = grounds_of(registry)
    for _ in range(3):
        for write_key in keys:
            assert led_to(grounds, write_key) is registry.leads[write_key]
    # Tables begin anew as they grow, and then all that came before is looked up again.
    assert len(registry.looked_up) <= 3 * len(keys)
    registry.looked_up.clear()
    for write_key in keys:
        assert led_to(grounds, write_key) is registry.leads[write_key]
    assert registry.looked_up == []


def test_no_more_keys_are_remembered_than_said() -> None:
    keys = [str(number) for number in range(asked.MAX_ASKED + 1)]
    registry = Told(*keys)
    grounds = grounds_of(registry)
    for write_key in keys:
        assert led_to(grounds, write_key) is registry.leads[write_key]
    registry.looked_up.clear()
    assert led_to(grounds, keys[-1]) is registry.leads[keys[-1]]
    assert registry.looked_up == []
    assert led_to(grounds, keys[0]) is registry.leads[keys[0]]
    assert registry.looked_up == [keys[0]]
