"""Administrators' access tokens open the door to nobody but their member."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from tollgate.registry.access_token import AccessToken
from tollgate.registry.administrators import (
    NewAccessToken,
    authenticate,
    hash_of,
    is_access_token,
    new_access_token,
)
from tollgate.registry.member import Member
from tollgate.registry.state import RegistryState

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def new() -> NewAccessToken:
    return new_access_token()


@pytest.fixture
def state(new: NewAccessToken) -> RegistryState:
    state = RegistryState()
    state.members["mem_1"] = Member(id="mem_1", version=1, workspace_id="ws_1")
    state.access_tokens[new.id] = AccessToken(
        id=new.id,
        version=1,
        workspace_id="ws_1",
        member_id="mem_1",
        secret_hash=new.secret_hash,
        expires_at=NOW + timedelta(hours=1),
    )
    return state


def test_a_token_names_its_member(state: RegistryState, new: NewAccessToken) -> None:
    administrator = authenticate(state, new.text, NOW)
    assert administrator is not None
    assert administrator.member.id == "mem_1"
    assert administrator.access_token.id == new.id


def test_it_ends_with_its_expiry(state: RegistryState, new: NewAccessToken) -> None:
    assert authenticate(state, new.text, NOW + timedelta(minutes=59)) is not None
    assert authenticate(state, new.text, NOW + timedelta(hours=1)) is None


def test_it_ends_with_its_revocation(state: RegistryState, new: NewAccessToken) -> None:
    token = state.access_tokens[new.id]
    state.access_tokens[new.id] = replace(token, version=2, revoked=True)
    assert authenticate(state, new.text, NOW) is None


def test_it_ends_with_its_member(state: RegistryState, new: NewAccessToken) -> None:
    state.members["mem_1"] = replace(state.members["mem_1"], removed=True)
    assert authenticate(state, new.text, NOW) is None


def test_what_is_not_the_token_does_not_open(
    state: RegistryState, new: NewAccessToken
) -> None:
    other = new_access_token()
    secret = new.text[-43:]
    for wrong in (
        "",
        new.text + "\n",
        new.text[:-1],
        new.text.upper(),
        f"tg_{new.id}_{other.text[-43:]}",
        f"tg_{other.id}_{secret}",
        f"tg_{new.id}_{new.secret_hash[:43]}",
        other.text,
        "tg_\0_\ud800",
    ):
        assert authenticate(state, wrong, NOW) is None


def test_the_secret_is_in_the_text_only(new: NewAccessToken) -> None:
    secret = new.text.removeprefix(f"tg_{new.id}_")
    assert len(secret) == 43
    assert hash_of(secret) == new.secret_hash
    assert secret not in repr(new)
    assert is_access_token(new.text)
