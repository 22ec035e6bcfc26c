"""How a workspace begins."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from app_registry.domain.errors import (
    NoSuchWorkspace,
    UnacceptableEmail,
    UnacceptableExpiry,
    UnacceptableName,
)
from app_registry.domain.evidence import Evidence
from app_registry.domain.founding import AddOwner, add_owner
from app_registry.testing.workspace import FOUNDED, NOW, state_of
from tollgate.events import RecordedEvent
from tollgate.events.registry import (
    AccessTokenIssued,
    Grant,
    MemberAdded,
    Role,
    WorkspaceCreated,
)
from tollgate.testing.scenario import Facts, on, scenarios_of


def _decide(history: Sequence[RecordedEvent], command: AddOwner) -> Facts:
    return add_owner(command, Evidence(state_of(history)), NOW)


given = scenarios_of(_decide)

found = AddOwner(
    workspace_id="ws_1",
    workspace_name="Acme",
    member_id="mem_1",
    name="Olga",
    email="olga@example.com",
    token_id="t1",
    token_name="first",
    secret_hash="ab",
)
join = replace(found, workspace_name=None)

THE_OWNER = [
    *on(
        "member-mem_1",
        MemberAdded(
            workspace_id="ws_1",
            name="Olga",
            email="olga@example.com",
            grants=(Grant(role=Role.WORKSPACE_OWNER),),
        ),
    ),
    *on(
        "access_token-t1",
        AccessTokenIssued(
            workspace_id="ws_1", member_id="mem_1", name="first", secret_hash="ab"
        ),
    ),
]


def test_a_workspace_begins_with_an_owner_and_their_token() -> None:
    given().when(found).then(
        on("workspace-ws_1", WorkspaceCreated(name="Acme")), THE_OWNER
    )


def test_a_workspace_that_is_there_gets_one_more_owner() -> None:
    given(FOUNDED).when(join).then(THE_OWNER)
    given().when(join).then_refused(NoSuchWorkspace)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"name": ""}, UnacceptableName),
        ({"workspace_name": "A\0B"}, UnacceptableName),
        ({"token_name": ""}, UnacceptableName),
        ({"email": "olga"}, UnacceptableEmail),
        ({"expires_at": NOW}, UnacceptableExpiry),
    ],
)
def test_with_names_that_can_be_read(
    change: dict[str, str], refusal: type[Exception]
) -> None:
    given().when(replace(found, **change)).then_refused(refusal)
