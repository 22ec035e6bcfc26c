"""Each role and each action, the two guards, and an app with a token of its own."""

import pytest

from tollgate.events.registry import Grant, Role
from tollgate.registry.member import Member
from tollgate.registry.oauth_app import OAuthApp
from tollgate.registry.roles import Action, AppTarget, SourceTarget, Target, may
from tollgate.registry.source_types import SourceKind

SERVER = SourceTarget(id="src_server", kind=SourceKind.SERVER)
WEBSITE = SourceTarget(id="src_website", kind=SourceKind.WEBSITE)
FUNCTION = SourceTarget(id="src_function", kind=SourceKind.FUNCTION)
UNKNOWN = SourceTarget(id="src_unknown", kind=None)
NEW_SERVER = SourceTarget(kind=SourceKind.SERVER)
NEW_FUNCTION = SourceTarget(kind=SourceKind.FUNCTION)


def app(*sources: SourceTarget, scope: str = "tracking_api:write") -> AppTarget:
    return AppTarget(id="app_1", scopes=frozenset({scope}), sources=sources)


TARGETS: dict[str, Target] = {
    "workspace": None,
    "server": SERVER,
    "website": WEBSITE,
    "function": FUNCTION,
    "new server": NEW_SERVER,
    "new function": NEW_FUNCTION,
    "app": app(SERVER),
    "unconnected app": app(),
    "public api app": app(SERVER, scope="public_api:read_write"),
}

ON: dict[Action, tuple[str, ...]] = {
    Action.VIEW_WORKSPACE: ("workspace",),
    Action.MANAGE_MEMBERS: ("workspace",),
    Action.MANAGE_ACCESS_TOKENS: ("workspace",),
    Action.READ_AUDIT: ("workspace",),
    Action.CREATE_SOURCE: ("new server", "new function"),
    Action.LIST_SOURCES: ("workspace",),
    Action.VIEW_SOURCE: ("server", "website", "function"),
    Action.SEE_WRITE_KEYS: ("server", "website", "function"),
    Action.EDIT_SOURCE: ("server", "website", "function"),
    Action.CONNECT_APP: ("server", "website", "function"),
    Action.SET_ENFORCEMENT: ("server", "website", "function"),
    Action.CREATE_APP: ("workspace",),
    Action.VIEW_APPS: ("workspace",),
    Action.EDIT_APP: ("app", "unconnected app", "public api app"),
    Action.GRANT_PUBLIC_API: ("workspace",),
}
"""What each action can be done to."""

VIEWS = {
    (Action.VIEW_WORKSPACE, "workspace"),
    (Action.LIST_SOURCES, "workspace"),
    (Action.VIEW_APPS, "workspace"),
}
EDITS = {(Action.EDIT_APP, "app"), (Action.EDIT_APP, "unconnected app")}
EVERYTHING = {(action, target) for action in Action for target in ON[action]}


def on_sources(*actions: Action, of: tuple[str, ...]) -> set[tuple[Action, str]]:
    return {(action, target) for action in actions for target in of}


FOR_ALL_SOURCES: dict[Role, set[tuple[Action, str]]] = {
    Role.WORKSPACE_OWNER: EVERYTHING,
    Role.WORKSPACE_MEMBER: {(Action.VIEW_WORKSPACE, "workspace")},
    Role.SOURCE_ADMIN: VIEWS
    | EDITS
    | {(Action.CREATE_SOURCE, "new server")}
    | on_sources(
        Action.VIEW_SOURCE,
        Action.SEE_WRITE_KEYS,
        Action.CONNECT_APP,
        Action.SET_ENFORCEMENT,
        of=("server", "website"),
    ),
    Role.SOURCE_READ_ONLY: VIEWS
    | on_sources(Action.VIEW_SOURCE, of=("server", "website")),
    Role.FUNCTION_ADMIN: VIEWS
    | EDITS
    | on_sources(
        Action.VIEW_SOURCE,
        Action.SEE_WRITE_KEYS,
        Action.CONNECT_APP,
        Action.SET_ENFORCEMENT,
        of=("function",),
    ),
    Role.FUNCTION_READ_ONLY: VIEWS | on_sources(Action.VIEW_SOURCE, of=("function",)),
}
"""The table of the design, for roles that are held for all sources."""

CASES = [(action, target) for action in Action for target in ON[action]]


def member(*grants: Grant, removed: bool = False) -> Member:
    return Member(id="mem_1", version=1, grants=grants, removed=removed)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("action", "target"), CASES)
def test_each_role_may_do_what_the_table_says(
    role: Role, action: Action, target: str
) -> None:
    allowed = may(member(Grant(role=role)), action, TARGETS[target])
    assert allowed == ((action, target) in FOR_ALL_SOURCES[role])


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("action", "target"), CASES)
def test_a_removed_member_may_do_nothing(
    role: Role, action: Action, target: str
) -> None:
    gone = member(Grant(role=role), removed=True)
    assert not may(gone, action, TARGETS[target])


@pytest.mark.parametrize(("action", "target"), CASES)
def test_a_member_without_a_role_may_do_nothing(action: Action, target: str) -> None:
    assert not may(member(), action, TARGETS[target])


@pytest.mark.parametrize("role", [each for each in Role if each != "workspace_owner"])
@pytest.mark.parametrize("action", Action)
def test_an_action_without_its_target_is_not_allowed(
    role: Role, action: Action
) -> None:
    if "workspace" not in ON[action]:
        assert not may(member(Grant(role=role)), action, None)


class TestRolesForAListOfSources:
    listed = member(Grant(role=Role.SOURCE_ADMIN, sources=("src_server",)))

    @pytest.mark.parametrize(
        "action",
        [
            Action.VIEW_SOURCE,
            Action.SEE_WRITE_KEYS,
            Action.CONNECT_APP,
            Action.SET_ENFORCEMENT,
        ],
    )
    def test_they_hold_for_the_sources_listed(self, action: Action) -> None:
        other = SourceTarget(id="src_other", kind=SourceKind.SERVER)
        assert may(self.listed, action, SERVER)
        assert not may(self.listed, action, other)

    def test_they_create_no_source(self) -> None:
        assert not may(self.listed, Action.CREATE_SOURCE, NEW_SERVER)

    def test_a_listed_source_of_the_other_kind_is_not_theirs(self) -> None:
        confused = member(Grant(role=Role.SOURCE_ADMIN, sources=("src_function",)))
        assert not may(confused, Action.CONNECT_APP, FUNCTION)

    def test_a_source_of_an_unknown_kind_is_nobodys_but_the_owners(self) -> None:
        listed = member(Grant(role=Role.SOURCE_ADMIN, sources=("src_unknown",)))
        assert not may(listed, Action.VIEW_SOURCE, UNKNOWN)
        owner = member(Grant(role=Role.WORKSPACE_OWNER))
        assert may(owner, Action.VIEW_SOURCE, UNKNOWN)

    def test_they_edit_an_app_connected_to_listed_sources_only(self) -> None:
        other = SourceTarget(id="src_other", kind=SourceKind.SERVER)
        assert may(self.listed, Action.EDIT_APP, app(SERVER))
        assert not may(self.listed, Action.EDIT_APP, app(SERVER, other))
        assert not may(self.listed, Action.EDIT_APP, app(other))

    def test_they_do_not_edit_an_app_that_is_not_connected(self) -> None:
        assert not may(self.listed, Action.EDIT_APP, app())

    def test_several_add_up(self) -> None:
        both = member(
            Grant(role=Role.SOURCE_ADMIN, sources=("src_server",)),
            Grant(role=Role.FUNCTION_ADMIN, sources=("src_function",)),
        )
        assert may(both, Action.EDIT_APP, app(SERVER, FUNCTION))
        assert not may(both, Action.EDIT_APP, app(SERVER, FUNCTION, WEBSITE))

    def test_a_read_only_role_adds_no_right_to_edit(self) -> None:
        both = member(
            Grant(role=Role.SOURCE_ADMIN, sources=("src_server",)),
            Grant(role=Role.FUNCTION_READ_ONLY),
        )
        assert not may(both, Action.EDIT_APP, app(SERVER, FUNCTION))


class TestPublicApi:
    def test_only_an_owner_grants_it_or_edits_an_app_that_holds_it(self) -> None:
        holder = app(SERVER, scope="public_api:read_write")
        for role in Role:
            someone = member(Grant(role=role))
            owner = role is Role.WORKSPACE_OWNER
            assert may(someone, Action.GRANT_PUBLIC_API) is owner
            assert may(someone, Action.EDIT_APP, holder) is owner

    actor = OAuthApp(
        id="app_actor", version=1, scopes=frozenset({"public_api:read_write"})
    )

    def test_an_app_with_it_administers_sources_and_other_apps(self) -> None:
        allowed = {case for case in CASES if may(self.actor, case[0], TARGETS[case[1]])}
        assert allowed == VIEWS | EDITS | on_sources(
            Action.VIEW_SOURCE,
            Action.SEE_WRITE_KEYS,
            Action.EDIT_SOURCE,
            Action.CONNECT_APP,
            Action.SET_ENFORCEMENT,
            of=("server", "website", "function"),
        ) | on_sources(Action.CREATE_SOURCE, of=("new server", "new function"))

    def test_an_app_does_not_manage_itself(self) -> None:
        itself = AppTarget(id="app_actor", scopes=frozenset(), sources=())
        assert not may(self.actor, Action.EDIT_APP, itself)
        connection = SourceTarget(
            id="src_server", kind=SourceKind.SERVER, app_id="app_actor"
        )
        assert not may(self.actor, Action.CONNECT_APP, connection)

    @pytest.mark.parametrize(("action", "target"), CASES)
    def test_an_app_without_it_or_deleted_may_do_nothing(
        self, action: Action, target: str
    ) -> None:
        tracking = OAuthApp(
            id="app_2", version=1, scopes=frozenset({"tracking_api:write"})
        )
        deleted = OAuthApp(
            id="app_3",
            version=2,
            scopes=frozenset({"public_api:read_write"}),
            deleted=True,
        )
        assert not may(tracking, action, TARGETS[target])
        assert not may(deleted, action, TARGETS[target])
