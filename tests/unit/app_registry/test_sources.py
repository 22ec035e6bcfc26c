"""The life of a source, its write keys, its connection."""

import pytest
from msgspec.structs import replace

from app_registry.domain.commands import (
    AddWriteKey,
    ConnectApp,
    CreateSource,
    DeleteSource,
    DeleteWriteKey,
    DisconnectApp,
    RenameSource,
    SetEnforcement,
)
from app_registry.domain.errors import (
    EnforcementStillOn,
    NoSuchApp,
    NoSuchSource,
    NoSuchWriteKey,
    NotPermitted,
    SourceHasAnotherApp,
    SourceHasNoApp,
    SourceStillConnected,
    SourceTypeWithoutOAuth,
    TooManyWriteKeys,
    UnacceptableName,
    UnacceptableWriteKey,
    UnknownSourceType,
    VersionDiffers,
    WriteKeyTaken,
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
    someone,
    source,
)
from tollgate.events.registry import (
    Enforcement,
    EnforcementChanged,
    Grant,
    OAuthAppDeleted,
    OAuthAppDisconnected,
    Role,
    SourceCreated,
    SourceDeleted,
    SourceDisconnected,
    SourceRenamed,
    WriteKeyAdded,
    WriteKeyClaimed,
    WriteKeyDeleted,
)
from tollgate.registry.source_types import SOURCE_TYPES
from tollgate.testing.scenario import on

STREAM = "source-src_1"
A_KEY = "write-key-1"
# As `printf %s write-key-1 | sha256sum` has it.
CLAIM = "write_key-479c480d050d0d9b92f9b556d264fe2d098c545c4a30c02836a5629c02f02967"

the_source = source("src_1")
the_app = app("app_1")
create = CreateSource(source_id="src_1", name="Backend", source_type="python")
admin = someone("ada", Grant(role=Role.SOURCE_ADMIN))
limited = someone("lim", Grant(role=Role.SOURCE_ADMIN, sources=("src_1",)))
function_admin = someone("fay", Grant(role=Role.FUNCTION_ADMIN))


class TestCreate:
    created = SourceCreated(workspace_id="ws_1", name="Backend", source_type="python")

    def test_a_source_is_created(self) -> None:
        given(FOUNDED).when(create).then(on(STREAM, self.created))

    def test_who_creates_one(self) -> None:
        holder = app("app_admin", scopes=PUBLIC_API)
        given(FOUNDED, admin).when(create, by=by("ada")).then(on(STREAM, self.created))
        given(FOUNDED, holder).when(create, by=AN_APP).then(on(STREAM, self.created))
        for somebody, facts in (("lim", limited), ("fay", function_admin)):
            given(FOUNDED, facts).when(create, by=by(somebody)).then_refused(
                NotPermitted
            )

    @pytest.mark.parametrize("source_type", ["", "cobol", "Python", "py\0thon"])
    def test_of_a_type_of_the_catalog(self, source_type: str) -> None:
        given(FOUNDED).when(replace(create, source_type=source_type)).then_refused(
            UnknownSourceType
        )

    def test_with_a_name(self) -> None:
        given(FOUNDED).when(replace(create, name="")).then_refused(UnacceptableName)


class TestRename:
    rename = RenameSource(source_id="src_1", name="New")

    def test_a_source_is_renamed_once(self) -> None:
        given(FOUNDED, the_source).when(self.rename).then(
            on(STREAM, SourceRenamed(name="New"))
        )
        given(FOUNDED, source("src_1", SourceRenamed(name="New"))).when(
            self.rename
        ).then()

    def test_not_by_its_admin(self) -> None:
        given(FOUNDED, the_source, admin).when(self.rename, by=by("ada")).then_refused(
            NotPermitted
        )

    def test_not_to_nothing(self) -> None:
        given(FOUNDED, the_source).when(replace(self.rename, name=" ")).then_refused(
            UnacceptableName
        )


class TestWriteKeys:
    add = AddWriteKey(source_id="src_1", write_key=A_KEY)
    held = (
        *on(CLAIM, WriteKeyClaimed(source_id="src_1")),
        *on(STREAM, WriteKeyAdded(write_key=A_KEY)),
    )

    def test_a_key_is_claimed_for_its_source(self) -> None:
        given(FOUNDED, the_source).when(self.add).then(
            on(CLAIM, WriteKeyClaimed(source_id="src_1")),
            on(STREAM, WriteKeyAdded(write_key=A_KEY)),
        )

    def test_it_belongs_to_one_source_of_the_deployment(self) -> None:
        theirs = on("source-src_theirs", WriteKeyAdded(write_key=A_KEY))
        given(FOUNDED, the_source, STRANGERS, theirs).when(self.add).then_refused(
            WriteKeyTaken
        )

    def test_it_is_not_used_again(self) -> None:
        deleted = on(STREAM, WriteKeyDeleted(write_key=A_KEY))
        other = [*source("src_2"), *on("source-src_1", SourceDeleted())]
        given(FOUNDED, the_source, self.held).when(self.add).then_refused(WriteKeyTaken)
        given(FOUNDED, the_source, self.held, deleted).when(self.add).then_refused(
            WriteKeyTaken
        )
        given(FOUNDED, the_source, self.held, other).when(
            replace(self.add, source_id="src_2")
        ).then_refused(WriteKeyTaken)

    @pytest.mark.parametrize(
        "write_key",
        [
            *("", "short77", "x" * 129, "colon:inside", "Schlüssel"),
            *("tab\tinside", "newline!\n", "nul\0inside", "\ud800 surrogate"),
            "١٢٣٤٥٦٧٨",
        ],
    )
    def test_it_is_printable_ascii_without_a_colon(self, write_key: str) -> None:
        given(FOUNDED, the_source).when(
            replace(self.add, write_key=write_key)
        ).then_refused(UnacceptableWriteKey)

    @pytest.mark.parametrize("write_key", ["x" * 8, "x" * 128, "a/b+c=d~e", "12 34 56"])
    def test_whatever_else_collectors_have(self, write_key: str) -> None:
        _, (_, added) = (
            given(FOUNDED, the_source)
            .when(replace(self.add, write_key=write_key))
            .decide()
        )
        assert added == WriteKeyAdded(write_key=write_key)

    def test_there_are_at_most_twenty(self) -> None:
        held = [WriteKeyAdded(write_key=f"write-key-{n:02}") for n in range(20)]
        given(FOUNDED, source("src_1", *held)).when(self.add).then_refused(
            TooManyWriteKeys
        )

    def test_only_a_held_key_can_go(self) -> None:
        delete = DeleteWriteKey(source_id="src_1", write_key=A_KEY)
        given(FOUNDED, the_source, self.held).when(delete).then(
            on(STREAM, WriteKeyDeleted(write_key=A_KEY))
        )
        given(FOUNDED, the_source).when(delete).then_refused(NoSuchWriteKey)

    def test_they_are_the_owners_business(self) -> None:
        given(FOUNDED, the_source, admin).when(self.add, by=by("ada")).then_refused(
            NotPermitted
        )


class TestConnect:
    connect = ConnectApp(source_id="src_1", app_id="app_1")

    def test_a_connection_is_recorded_on_both_sides(self) -> None:
        given(FOUNDED, the_source, the_app).when(self.connect).then(
            connected("src_1", "app_1")
        )

    def test_connecting_again_changes_nothing(self) -> None:
        given(FOUNDED, the_source, the_app, connected("src_1", "app_1")).when(
            self.connect
        ).then()

    def test_a_source_has_one_app(self) -> None:
        here = connected("src_1", "app_1")
        given(FOUNDED, the_source, the_app, app("app_2"), here).when(
            replace(self.connect, app_id="app_2")
        ).then_refused(SourceHasAnotherApp)

    def test_an_app_serves_many_sources(self) -> None:
        there = [*source("src_2"), *connected("src_2", "app_1")]
        given(FOUNDED, the_source, the_app, there).when(self.connect).then(
            connected("src_1", "app_1")
        )

    @pytest.mark.parametrize("source_type", sorted(SOURCE_TYPES))
    def test_only_for_types_that_can_keep_a_key(self, source_type: str) -> None:
        asked = given(FOUNDED, source("src_1", source_type=source_type), the_app).when(
            self.connect
        )
        if source_type in {"http-api", "node-js", "python", "source-function"}:
            asked.then(connected("src_1", "app_1"))
        else:
            asked.then_refused(SourceTypeWithoutOAuth)

    def test_each_admin_for_their_kind(self) -> None:
        function = source("src_1", source_type="source-function")
        given(FOUNDED, the_source, the_app, admin).when(
            self.connect, by=by("ada")
        ).then(connected("src_1", "app_1"))
        given(FOUNDED, function, the_app, function_admin).when(
            self.connect, by=by("fay")
        ).then(connected("src_1", "app_1"))
        given(FOUNDED, function, the_app, admin).when(
            self.connect, by=by("ada")
        ).then_refused(NotPermitted)
        given(FOUNDED, the_source, the_app, function_admin).when(
            self.connect, by=by("fay")
        ).then_refused(NotPermitted)

    def test_a_limited_role_connects_its_sources(self) -> None:
        other = source("src_2")
        given(FOUNDED, the_source, the_app, limited).when(
            self.connect, by=by("lim")
        ).then(connected("src_1", "app_1"))
        given(FOUNDED, other, the_app, limited).when(
            replace(self.connect, source_id="src_2"), by=by("lim")
        ).then_refused(NotPermitted)

    def test_an_app_does_not_connect_itself(self) -> None:
        holder = app("app_admin", scopes=PUBLIC_API)
        given(FOUNDED, the_source, the_app, holder).when(self.connect, by=AN_APP).then(
            connected("src_1", "app_1")
        )
        given(FOUNDED, the_source, holder).when(
            replace(self.connect, app_id="app_admin"), by=AN_APP
        ).then_refused(NotPermitted)

    def test_the_app_must_be_there(self) -> None:
        given(FOUNDED, the_source).when(self.connect).then_refused(NoSuchApp)
        given(FOUNDED, the_source, app("app_1", OAuthAppDeleted())).when(
            self.connect
        ).then_refused(NoSuchApp)
        given(FOUNDED, the_source, STRANGERS).when(
            replace(self.connect, app_id="app_theirs")
        ).then_refused(NoSuchApp)


class TestEnforcement:
    here = (*the_app, *the_source, *connected("src_1", "app_1"))

    @pytest.mark.parametrize("mode", [Enforcement.REPORT, Enforcement.ENFORCE])
    def test_it_needs_a_connected_app(self, mode: Enforcement) -> None:
        enforce = SetEnforcement(source_id="src_1", mode=mode)
        given(FOUNDED, self.here).when(enforce).then(
            on(STREAM, EnforcementChanged(mode=mode))
        )
        given(FOUNDED, the_source).when(enforce).then_refused(SourceHasNoApp)

    def test_what_is_so_already_is_not_recorded(self) -> None:
        given(FOUNDED, the_source).when(
            SetEnforcement(source_id="src_1", mode=Enforcement.OFF)
        ).then()

    def test_by_the_admins_of_the_source(self) -> None:
        enforce = SetEnforcement(source_id="src_1", mode=Enforcement.ENFORCE)
        changed = on(STREAM, EnforcementChanged(mode=Enforcement.ENFORCE))
        given(FOUNDED, self.here, limited).when(enforce, by=by("lim")).then(changed)
        given(FOUNDED, self.here, function_admin).when(
            enforce, by=by("fay")
        ).then_refused(NotPermitted)


class TestDisconnect:
    here = (*the_app, *the_source, *connected("src_1", "app_1"))
    disconnect = DisconnectApp(source_id="src_1")

    def test_it_is_recorded_on_both_sides(self) -> None:
        given(FOUNDED, self.here).when(self.disconnect).then(
            on(STREAM, OAuthAppDisconnected(app_id="app_1")),
            on("oauth_app-app_1", SourceDisconnected(source_id="src_1")),
        )

    def test_enforcement_must_be_off(self) -> None:
        for mode in (Enforcement.REPORT, Enforcement.ENFORCE):
            on_duty = on(STREAM, EnforcementChanged(mode=mode))
            off_again = on(STREAM, EnforcementChanged(mode=Enforcement.OFF))
            given(FOUNDED, self.here, on_duty).when(self.disconnect).then_refused(
                EnforcementStillOn
            )
            assert (
                given(FOUNDED, self.here, on_duty, off_again)
                .when(self.disconnect)
                .decide()
            )

    def test_what_is_not_connected_stays_so(self) -> None:
        given(FOUNDED, the_source).when(self.disconnect).then()

    def test_an_app_does_not_disconnect_itself(self) -> None:
        holder = app("app_admin", scopes=PUBLIC_API)
        given(FOUNDED, holder, the_source, connected("src_1", "app_admin")).when(
            self.disconnect, by=AN_APP
        ).then_refused(NotPermitted)


class TestDelete:
    delete = DeleteSource(source_id="src_1")

    def test_a_connected_source_stays(self) -> None:
        given(FOUNDED, the_source).when(self.delete).then(on(STREAM, SourceDeleted()))
        given(FOUNDED, the_app, the_source, connected("src_1", "app_1")).when(
            self.delete
        ).then_refused(SourceStillConnected)


@pytest.mark.parametrize(
    "command",
    [
        RenameSource(source_id="src_1", name="New"),
        DeleteSource(source_id="src_1"),
        AddWriteKey(source_id="src_1", write_key=A_KEY),
        DeleteWriteKey(source_id="src_1", write_key=A_KEY),
        ConnectApp(source_id="src_1", app_id="app_1"),
        DisconnectApp(source_id="src_1"),
        SetEnforcement(source_id="src_1", mode=Enforcement.OFF),
    ],
)
class TestASource:
    def test_that_is_unknown_deleted_or_anothers_does_not_exist(
        self, command: RenameSource
    ) -> None:
        theirs = replace(command, source_id="src_theirs")
        given(FOUNDED, the_app).when(command).then_refused(NoSuchSource)
        given(FOUNDED, the_app, source("src_1", SourceDeleted())).when(
            command
        ).then_refused(NoSuchSource)
        given(FOUNDED, STRANGERS, the_app).when(theirs).then_refused(NoSuchSource)

    def test_is_not_changed_by_who_may_only_look(self, command: RenameSource) -> None:
        for role in (
            Role.WORKSPACE_MEMBER,
            Role.SOURCE_READ_ONLY,
            Role.FUNCTION_READ_ONLY,
        ):
            reader = someone("rea", Grant(role=role))
            given(FOUNDED, the_app, the_source, reader).when(
                command, by=by("rea")
            ).then_refused(NotPermitted)

    def test_is_left_alone_if_it_has_changed(self, command: RenameSource) -> None:
        given(FOUNDED, the_app, the_source).when(
            replace(command, if_version=7)
        ).then_refused(VersionDiffers)
