"""Commands against a real log: once, in order, and on what still holds."""

import asyncio

import pytest

from app_registry.bootstrap import OwnerRequest, create_owner
from app_registry.directory import Directory
from app_registry.domain.authorization import MemberCaller
from app_registry.domain.commands import (
    AddMember,
    Command,
    ConnectApp,
    CreateApp,
    CreateSource,
    DeleteApp,
    EditApp,
    RemoveMember,
    RenameSource,
)
from app_registry.domain.errors import (
    IdempotencyKeyReused,
    LastOwner,
    NoSuchApp,
    NotAuthenticated,
    UnacceptableName,
)
from app_registry.handling import (
    Asking,
    CommandHandler,
    Idempotency,
    Outcome,
    level,
)
from app_registry.testing.workspace import key
from local_stack.databases import Database
from tollgate.clock import SystemClock
from tollgate.eventlog import EventLog
from tollgate.events import RecordedEvent
from tollgate.events.registry import Grant, Role
from tollgate.messaging.subscription import Subscription
from tollgate.registry.source_types import SOURCE_TYPES
from tollgate.settings import Secret

OWNER = Grant(role=Role.WORKSPACE_OWNER)


@pytest.fixture
async def owner(
    registry_database: Database, known: Subscription[Directory]
) -> MemberCaller:
    request = OwnerRequest(
        workspace="Acme", name="Olga", email="o@example.com", token_name="first"
    )
    url = Secret(registry_database.service_url)
    made = await create_owner(url, request, SystemClock().now())
    return MemberCaller(
        member_id=made.member_id, access_token_id=made.access_token.split("_")[1]
    )


@pytest.fixture
async def asking(owner: MemberCaller, known: Subscription[Directory]) -> Asking:
    await known.refresh()
    return Asking(caller=owner, request_id="request-1")


class LevelFirst:
    """Asks as the admin API does: on all that the log held when the request came."""

    def __init__(self, log: EventLog, known: Subscription[Directory]) -> None:
        self._known = known
        self._handler = CommandHandler(
            log, known, types=SOURCE_TYPES, clock=SystemClock()
        )

    async def make_level(self) -> None:
        await level(self._known)

    async def handle(self, command: Command, asking: Asking) -> Outcome:
        await self.make_level()
        return await self._handler.handle(command, asking)


@pytest.fixture
def registry(log: EventLog, known: Subscription[Directory]) -> LevelFirst:
    return LevelFirst(log, known)


def again(asking: Asking, idempotency_key: str, digest: str = "same") -> Asking:
    return Asking(
        caller=asking.caller, idempotency=Idempotency(idempotency_key, digest)
    )


create_app = CreateApp(
    app_id="app_1",
    name="Shop",
    key=key("first"),
    token_lifetime=86400,
    scopes=frozenset({"tracking_api:write"}),
)
create_source = CreateSource(source_id="src_1", name="Backend", source_type="python")


async def test_the_answer_shows_what_was_recorded(
    registry: LevelFirst, asking: Asking, known: Subscription[Directory]
) -> None:
    made = await registry.handle(create_app, asking)
    assert (made.entity.name, made.entity.version) == ("Shop", 2)
    await known.refresh()
    assert known.state.state.apps["app_1"] == made.entity

    edited = await registry.handle(EditApp(app_id="app_1", name="Mart"), asking)
    assert (edited.entity.name, edited.entity.version) == ("Mart", 3)


async def test_what_changes_nothing_records_nothing(
    registry: LevelFirst, asking: Asking, log: EventLog
) -> None:
    await registry.handle(create_app, asking)
    head = await log.head()
    same = await registry.handle(EditApp(app_id="app_1", name="Shop"), asking)
    assert same.entity.version == 2
    assert await log.head() == head


async def test_a_refused_command_records_nothing(
    registry: LevelFirst, asking: Asking, log: EventLog
) -> None:
    head = await log.head()
    with pytest.raises(UnacceptableName):
        await registry.handle(
            CreateSource(source_id="src_1", name="", source_type="python"), asking
        )
    assert await log.head() == head


async def test_fifty_writers_of_one_thing_all_get_through(
    registry: LevelFirst, asking: Asking, known: Subscription[Directory]
) -> None:
    await registry.handle(create_source, asking)
    outcomes = await asyncio.gather(
        *(
            registry.handle(RenameSource(source_id="src_1", name=f"n{n}"), asking)
            for n in range(50)
        )
    )
    assert sorted(each.entity.version for each in outcomes) == list(range(2, 52))


class TestIdempotency:
    async def test_a_command_is_recorded_once(
        self, registry: LevelFirst, asking: Asking, log: EventLog
    ) -> None:
        keyed = again(asking, "k1")
        first = await registry.handle(create_app, keyed)
        head = await log.head()
        other_id = CreateApp(
            app_id="app_2",
            name="Shop",
            key=key("first"),
            token_lifetime=86400,
            scopes=frozenset({"tracking_api:write"}),
        )
        second = await registry.handle(other_id, keyed)
        assert second.replayed
        assert second.entity == first.entity
        assert await log.head() == head

    async def test_a_replay_shows_the_thing_as_it_was_then(
        self, registry: LevelFirst, asking: Asking
    ) -> None:
        keyed = again(asking, "k1")
        first = await registry.handle(create_app, keyed)
        await registry.handle(EditApp(app_id="app_1", name="Mart"), asking)
        await registry.handle(DeleteApp(app_id="app_1", confirm_name="Mart"), asking)
        assert (await registry.handle(create_app, keyed)).entity == first.entity

    async def test_a_command_that_would_be_refused_by_now_is_replayed(
        self, registry: LevelFirst, asking: Asking
    ) -> None:
        await registry.handle(create_app, asking)
        delete = DeleteApp(app_id="app_1", confirm_name="Shop")
        await registry.handle(delete, again(asking, "k1"))
        assert (await registry.handle(delete, again(asking, "k1"))).replayed
        with pytest.raises(NoSuchApp):
            await registry.handle(delete, again(asking, "k2"))

    async def test_many_tries_at_once_are_one_command(
        self, registry: LevelFirst, asking: Asking, log: EventLog
    ) -> None:
        await registry.handle(create_app, asking)
        before = await log.head()
        delete = DeleteApp(app_id="app_1", confirm_name="Shop")
        outcomes = await asyncio.gather(
            *(registry.handle(delete, again(asking, "k1")) for _ in range(20))
        )
        assert [each.entity.version for each in outcomes] == [3] * 20
        assert (await log.head()).position == before.position + 1

    async def test_a_try_that_comes_too_late_is_answered_as_the_one_in_time(
        self,
        registry: LevelFirst,
        asking: Asking,
        log: EventLog,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The other try is recorded after this one looked, and before it decides."""
        await registry.handle(create_app, asking)
        delete, keyed = (
            DeleteApp(app_id="app_1", confirm_name="Shop"),
            again(asking, "k1"),
        )
        look = log.read_command

        async def look_too_early(command_id: str) -> list[RecordedEvent]:
            monkeypatch.setattr(log, "read_command", look)
            seen = await look(command_id)
            await registry.handle(delete, keyed)
            await registry.make_level()
            return seen

        monkeypatch.setattr(log, "read_command", look_too_early)
        outcome = await registry.handle(delete, keyed)
        assert outcome.replayed
        assert outcome.entity.deleted

    async def test_a_key_is_for_one_request(
        self, registry: LevelFirst, asking: Asking, log: EventLog
    ) -> None:
        await registry.handle(create_app, again(asking, "k1", "digest 1"))
        head = await log.head()
        with pytest.raises(IdempotencyKeyReused):
            await registry.handle(create_source, again(asking, "k1", "digest 2"))
        assert await log.head() == head

    async def test_a_key_is_its_actors_own(
        self, registry: LevelFirst, asking: Asking, known: Subscription[Directory]
    ) -> None:
        add = AddMember(
            member_id="mem_2", name="Pia", email="p@example.com", grants=(OWNER,)
        )
        await registry.handle(add, again(asking, "k1"))
        stranger = Asking(
            caller=MemberCaller(member_id="mem_2", access_token_id="none"),
            idempotency=Idempotency("k1", "other"),
        )
        with pytest.raises(NotAuthenticated):  # and not answered with another's outcome
            await registry.handle(create_app, stranger)


class TestRaces:
    async def test_the_last_two_owners_cannot_remove_each_other(
        self,
        registry: LevelFirst,
        asking: Asking,
        known: Subscription[Directory],
    ) -> None:
        olga = asking.caller.member_id
        for n in range(20):
            pia = f"mem_{n}"
            add = AddMember(
                member_id=pia, name="Pia", email="p@example.com", grants=(OWNER,)
            )
            await registry.handle(add, asking)
            await known.refresh()
            outcomes = await asyncio.gather(
                registry.handle(RemoveMember(member_id=olga), asking),
                registry.handle(RemoveMember(member_id=pia), asking),
                return_exceptions=True,
            )
            await known.refresh()
            owners = [m for m in known.state.state.members.values() if m.is_owner]
            assert len(owners) == 1
            if owners[0].id != olga:
                # Olga removed herself first: her token is dead, and Pia stays.
                assert isinstance(outcomes[1], NotAuthenticated | LastOwner)
                return

    async def test_no_source_is_left_with_a_deleted_app(
        self,
        registry: LevelFirst,
        asking: Asking,
        known: Subscription[Directory],
    ) -> None:
        await registry.handle(create_app, asking)
        await registry.handle(create_source, asking)
        await asyncio.gather(
            registry.handle(ConnectApp(source_id="src_1", app_id="app_1"), asking),
            registry.handle(DeleteApp(app_id="app_1", confirm_name="Shop"), asking),
            return_exceptions=True,
        )
        await known.refresh()
        state = known.state.state
        connected = state.sources["src_1"].app_id is not None
        assert connected == state.apps["app_1"].exists
