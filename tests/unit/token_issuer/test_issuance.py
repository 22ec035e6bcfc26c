"""Who knows too little of the moment records nothing and spends no assertion."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from token_issuer.issuance import REMEMBERED, Issuance
from tollgate.errors import Unavailable
from tollgate.eventlog import LogUnavailable

EXPIRES_AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
CLIENT = SimpleNamespace(
    app=SimpleNamespace(id="app_1"),
    assertion=SimpleNamespace(jti="assertion-1", expires_at=EXPIRES_AT),
)
TOKEN = SimpleNamespace(issued=SimpleNamespace(jti="token-1"))
CALLER = SimpleNamespace(metadata=lambda stream, *, command_id: (stream, command_id))


def asked_for(token, done):
    return SimpleNamespace(client=CLIENT, drafted=token, caller=CALLER, done=done)


class Knowledge:
    def __init__(self) -> None:
        self.is_fresh = True

    def require_fresh(self) -> None:
        if not self.is_fresh:
            raise Unavailable("too little is known")


class Log:
    """Takes every group at once, as long as there is `room`."""

    def __init__(self) -> None:
        self.groups = []
        self.room = 10

    def submit(self, group, done) -> None:
        if len(self.groups) == self.room:
            raise LogUnavailable("too many appends are waiting")
        self.groups.append(group)
        done.set_result(None)


@pytest.fixture
def knowledge() -> Knowledge:
    return Knowledge()


@pytest.fixture
def log() -> Log:
    return Log()


class TestWithFreshKnowledge:
    async def test_token_and_assertion_are_of_one_group(self, log, knowledge) -> None:
        done = asyncio.get_running_loop().create_future()
        Issuance(log, knowledge).record([asked_for(TOKEN, done)])
        (group,) = log.groups
        assert group.events == (("oauth_app-app_1", TOKEN.issued),)
        assert group.command_id == "token-1"
        assert (group.spend.client_id, group.spend.jti) == ("app_1", "assertion-1")
        assert group.spend.expires_at == EXPIRES_AT + REMEMBERED

    async def test_those_that_find_no_room_fail_alone(self, log, knowledge) -> None:
        log.room = 1
        loop = asyncio.get_running_loop()
        first, second = loop.create_future(), loop.create_future()
        Issuance(log, knowledge).record(
            [asked_for(TOKEN, first), asked_for(TOKEN, second)]
        )
        await first
        with pytest.raises(LogUnavailable):
            await second

    async def test_an_assertion_can_be_spent_alone(self, log, knowledge) -> None:
        await Issuance(log, knowledge).spend(CLIENT)
        (group,) = log.groups
        assert not group.events
        assert group.spend.jti == "assertion-1"


class TestWithout:
    async def test_a_token_is_not_recorded(self, log, knowledge) -> None:
        knowledge.is_fresh = False
        done = asyncio.get_running_loop().create_future()
        with pytest.raises(Unavailable):
            Issuance(log, knowledge).record([asked_for(TOKEN, done)])
        assert not log.groups
        assert not done.done()

    async def test_no_assertion_is_spent(self, log, knowledge) -> None:
        knowledge.is_fresh = False
        with pytest.raises(Unavailable):
            await Issuance(log, knowledge).spend(CLIENT)
        assert not log.groups
