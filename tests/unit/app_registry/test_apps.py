"""The life of an OAuth app."""

import pytest
from msgspec.structs import replace

from app_registry.domain.commands import (
    AddKey,
    CreateApp,
    DeleteApp,
    DeleteKey,
    EditApp,
)
from app_registry.domain.errors import (
    AppStillConnected,
    KeyAlreadyHeld,
    NameNotConfirmed,
    NoSuchApp,
    NoSuchKey,
    NotPermitted,
    TooManyKeys,
    UnacceptableName,
    UnacceptableScopes,
    UnknownTokenLifetime,
    VersionDiffers,
)
from app_registry.testing.workspace import (
    AN_APP,
    FOUNDED,
    PUBLIC_API,
    STRANGERS,
    app,
    by,
    connected,
    given,
    key,
    key_added,
    someone,
    source,
)
from tollgate.events.registry import (
    Grant,
    KeyDeleted,
    OAuthAppCreated,
    OAuthAppDeleted,
    OAuthAppDisconnected,
    OAuthAppRenamed,
    Role,
    ScopesChanged,
    SourceDisconnected,
    TokenLifetimeChanged,
)
from tollgate.testing.scenario import on

STREAM = "oauth_app-app_1"
DAY = 86400

create = CreateApp(
    app_id="app_1",
    name="Shop",
    key=key("first"),
    token_lifetime=DAY,
    scopes=frozenset({"tracking_api:write", "functions:write"}),
)
the_app = app("app_1")
admin = someone("ada", Grant(role=Role.SOURCE_ADMIN))
limited = someone("lim", Grant(role=Role.SOURCE_ADMIN, sources=("src_1",)))


class TestCreate:
    def test_an_app_begins_with_one_key(self) -> None:
        created = OAuthAppCreated(
            workspace_id="ws_1",
            name="Shop",
            token_lifetime=DAY,
            scopes=("functions:write", "tracking_api:write"),
        )
        given(FOUNDED).when(create).then(on(STREAM, created, key_added("first")))

    def test_only_an_owner_creates_one(self) -> None:
        holder = app("app_admin", scopes=PUBLIC_API)
        given(FOUNDED, admin).when(create, by=by("ada")).then_refused(NotPermitted)
        given(FOUNDED, holder).when(create, by=AN_APP).then_refused(NotPermitted)

    @pytest.mark.parametrize(
        "name",
        ["", "x" * 101, " Shop", "Shop\n", "Sh\0op", "Sh\ud800op", "Sh\u202eop", "\t"],
    )
    def test_a_name_is_one_readable_line(self, name: str) -> None:
        given(FOUNDED).when(replace(create, name=name)).then_refused(UnacceptableName)
        bad_key = replace(create, key=replace(create.key, name=name))
        given(FOUNDED).when(bad_key).then_refused(UnacceptableName)

    @pytest.mark.parametrize("days", [1, 2, 3, 7, 14, 21, 30])
    def test_the_lifetimes_that_there_are(self, days: int) -> None:
        given(FOUNDED).when(replace(create, token_lifetime=days * DAY)).decide()

    @pytest.mark.parametrize("seconds", [0, -DAY, 1, 4 * DAY, 31 * DAY, 2**63])
    def test_no_other_lifetime(self, seconds: int) -> None:
        given(FOUNDED).when(replace(create, token_lifetime=seconds)).then_refused(
            UnknownTokenLifetime
        )

    @pytest.mark.parametrize("scopes", [(), ("admin",), ("tracking_api:write", "")])
    def test_no_scope_that_opens_no_door(self, scopes: tuple[str, ...]) -> None:
        given(FOUNDED).when(replace(create, scopes=frozenset(scopes))).then_refused(
            UnacceptableScopes
        )


class TestEdit:
    def test_only_what_differs_is_recorded(self) -> None:
        everything = EditApp(
            app_id="app_1",
            name="New",
            token_lifetime=7 * DAY,
            scopes=frozenset({"functions:write"}),
        )
        nothing = EditApp(
            app_id="app_1",
            name="app_1",
            token_lifetime=DAY,
            scopes=frozenset({"tracking_api:write"}),
        )
        given(FOUNDED, the_app).when(everything).then(
            on(
                STREAM,
                OAuthAppRenamed(name="New"),
                TokenLifetimeChanged(token_lifetime=7 * DAY),
                ScopesChanged(scopes=("functions:write",)),
            )
        )
        given(FOUNDED, the_app).when(nothing).then()
        given(FOUNDED, the_app).when(EditApp(app_id="app_1")).then()

    def test_one_bad_change_refuses_all(self) -> None:
        given(FOUNDED, the_app).when(
            EditApp(app_id="app_1", name="New", token_lifetime=1)
        ).then_refused(UnknownTokenLifetime)

    def test_only_an_owner_grants_the_public_api(self) -> None:
        grant = EditApp(app_id="app_1", scopes=frozenset(PUBLIC_API))
        given(FOUNDED, the_app).when(grant).then(
            on(STREAM, ScopesChanged(scopes=PUBLIC_API))
        )
        given(FOUNDED, the_app, admin).when(grant, by=by("ada")).then_refused(
            NotPermitted
        )

    def test_only_an_owner_edits_an_app_that_holds_it(self) -> None:
        holder = app("app_1", scopes=PUBLIC_API)
        rename = EditApp(app_id="app_1", name="New")
        given(FOUNDED, holder).when(rename).then(
            on(STREAM, OAuthAppRenamed(name="New"))
        )
        given(FOUNDED, holder, admin).when(rename, by=by("ada")).then_refused(
            NotPermitted
        )

    def test_a_limited_role_edits_what_serves_its_sources_only(self) -> None:
        rename = EditApp(app_id="app_1", name="New")
        here = [*source("src_1"), *connected("src_1", "app_1")]
        elsewhere = [*source("src_2"), *connected("src_2", "app_1")]
        given(FOUNDED, limited, the_app, here).when(rename, by=by("lim")).then(
            on(STREAM, OAuthAppRenamed(name="New"))
        )
        given(FOUNDED, limited, the_app).when(rename, by=by("lim")).then_refused(
            NotPermitted
        )
        given(FOUNDED, limited, the_app, here, elsewhere).when(
            rename, by=by("lim")
        ).then_refused(NotPermitted)

    def test_an_app_edits_others_but_not_itself(self) -> None:
        holder = app("app_admin", scopes=PUBLIC_API)
        given(FOUNDED, the_app, holder).when(
            EditApp(app_id="app_1", name="New"), by=AN_APP
        ).then(on(STREAM, OAuthAppRenamed(name="New")))
        given(FOUNDED, holder).when(
            EditApp(app_id="app_admin", name="New"), by=AN_APP
        ).then_refused(NotPermitted)

    def test_what_has_changed_since_it_was_read_is_left_alone(self) -> None:
        given(FOUNDED, the_app).when(
            EditApp(app_id="app_1", name="New", if_version=1)
        ).then_refused(VersionDiffers)
        given(FOUNDED, the_app).when(
            EditApp(app_id="app_1", name="New", if_version=2)
        ).then(on(STREAM, OAuthAppRenamed(name="New")))


class TestKeys:
    new = key_added("new")

    def test_a_second_key_may_overlap_the_first(self) -> None:
        given(FOUNDED, the_app).when(AddKey(app_id="app_1", key=key("new"))).then(
            on(STREAM, self.new)
        )

    def test_a_third_is_refused(self) -> None:
        given(FOUNDED, app("app_1", self.new)).when(
            AddKey(app_id="app_1", key=key("third"))
        ).then_refused(TooManyKeys)

    def test_deleting_one_makes_room(self) -> None:
        given(FOUNDED, app("app_1", self.new, KeyDeleted(kid="old"))).when(
            AddKey(app_id="app_1", key=key("third"))
        ).then(on(STREAM, key_added("third")))

    def test_a_key_is_held_once(self) -> None:
        given(FOUNDED, the_app).when(
            AddKey(app_id="app_1", key=key("old"))
        ).then_refused(KeyAlreadyHeld)

    def test_a_deleted_key_may_come_back(self) -> None:
        given(FOUNDED, app("app_1", KeyDeleted(kid="old"))).when(
            AddKey(app_id="app_1", key=key("old"))
        ).then(on(STREAM, key_added("old")))

    @pytest.mark.parametrize("keep", [True, False])
    def test_the_last_key_may_go_and_its_tokens_may_stay(self, keep: bool) -> None:
        given(FOUNDED, the_app).when(
            DeleteKey(app_id="app_1", kid="old", keep_tokens=keep)
        ).then(on(STREAM, KeyDeleted(kid="old", keep_tokens=keep)))

    def test_only_a_held_key_can_go(self) -> None:
        given(FOUNDED, the_app).when(DeleteKey(app_id="app_1", kid="x")).then_refused(
            NoSuchKey
        )


class TestDelete:
    delete = DeleteApp(app_id="app_1", confirm_name="app_1")

    def test_its_name_must_be_given_again(self) -> None:
        given(FOUNDED, the_app).when(self.delete).then(on(STREAM, OAuthAppDeleted()))
        given(FOUNDED, the_app).when(
            replace(self.delete, confirm_name="App_1")
        ).then_refused(NameNotConfirmed)

    def test_no_source_may_be_connected(self) -> None:
        here = [*source("src_1"), *connected("src_1", "app_1")]
        gone = [
            *on("source-src_1", OAuthAppDisconnected(app_id="app_1")),
            *on(STREAM, SourceDisconnected(source_id="src_1")),
        ]
        given(FOUNDED, the_app, here).when(self.delete).then_refused(AppStillConnected)
        given(FOUNDED, the_app, here, gone).when(self.delete).then(
            on(STREAM, OAuthAppDeleted())
        )


@pytest.mark.parametrize(
    "command",
    [
        EditApp(app_id="app_1", name="New"),
        DeleteApp(app_id="app_1", confirm_name="app_1"),
        AddKey(app_id="app_1", key=key("new")),
        DeleteKey(app_id="app_1", kid="old"),
    ],
)
class TestAnApp:
    def test_that_is_unknown_deleted_or_anothers_does_not_exist(
        self, command: EditApp | DeleteApp | AddKey | DeleteKey
    ) -> None:
        deleted = app("app_1", OAuthAppDeleted())
        theirs = replace(command, app_id="app_theirs")
        given(FOUNDED).when(command).then_refused(NoSuchApp)
        given(FOUNDED, deleted).when(command).then_refused(NoSuchApp)
        given(FOUNDED, STRANGERS).when(theirs).then_refused(NoSuchApp)
        given(FOUNDED, STRANGERS).when(
            replace(command, app_id="\0"), by=by("stan")
        ).then_refused(NoSuchApp)

    def test_is_not_edited_by_who_may_only_look(
        self, command: EditApp | DeleteApp | AddKey | DeleteKey
    ) -> None:
        for role in (
            Role.WORKSPACE_MEMBER,
            Role.SOURCE_READ_ONLY,
            Role.FUNCTION_READ_ONLY,
        ):
            reader = someone("rea", Grant(role=role))
            given(FOUNDED, the_app, reader).when(command, by=by("rea")).then_refused(
                NotPermitted
            )

    def test_is_left_alone_if_it_has_changed(
        self, command: EditApp | DeleteApp | AddKey | DeleteKey
    ) -> None:
        given(FOUNDED, the_app).when(replace(command, if_version=7)).then_refused(
            VersionDiffers
        )
