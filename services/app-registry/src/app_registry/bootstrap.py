"""What an operator does by hand: prepare the database, make the first owner."""

from datetime import datetime
from urllib.parse import unquote, urlsplit

import msgspec

from app_registry.domain.evidence import Evidence
from app_registry.domain.founding import AddOwner, add_owner
from tollgate.database import connect, open_pool
from tollgate.errors import DomainError
from tollgate.eventlog import AppendGroup, EventLog, open_event_log
from tollgate.events import EventMetadata
from tollgate.ids import new_id, random_text
from tollgate.migrations import event_log_migrations
from tollgate.migrations import migrate as apply_migrations
from tollgate.registry.administrators import new_access_token
from tollgate.registry.state import RegistryState
from tollgate.settings import Secret

LOG = "registry"


class WorkspaceExists(DomainError):
    """There is one of that name already: a second one is hardly what was meant."""


class OwnerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to own which workspace.

    The workspace is made if there is none of that name. If there is, the owner is added
    to it, but only if `add` says so.
    """

    workspace: str
    name: str
    email: str
    token_name: str
    expires_at: datetime | None = None
    add: bool = False


class NewOwner(msgspec.Struct, frozen=True, kw_only=True):
    """The only time that the access token is seen."""

    workspace_id: str
    member_id: str
    access_token: str


async def migrate(owner_url: Secret, service_url: Secret) -> int:
    """Bring the schema of the log up to date; how many files were applied.

    The role of `service_url` may then read and append, and nothing else.
    """
    role = urlsplit(service_url.reveal()).username
    connection = await connect(
        owner_url.reveal(), application_name="app-registry migrate"
    )
    try:
        return await apply_migrations(
            connection,
            LOG,
            event_log_migrations(),
            service_role=None if role is None else unquote(role),
        )
    finally:
        await connection.close()


async def create_owner(
    database_url: Secret, request: OwnerRequest, now: datetime
) -> NewOwner:
    """Record the owner, or raise a `DomainError` or one of the log's errors."""
    url = database_url.reveal()
    name = "app-registry create-owner"
    async with (
        open_pool(url, application_name=name, max_size=1) as pool,
        open_event_log(LOG, pool, url, application_name=name) as log,
    ):
        state = await _read(log)
        known = [
            workspace.id
            for workspace in state.workspaces.values()
            if workspace.name == request.workspace
        ]
        if known and not request.add:
            raise WorkspaceExists(
                f"there is a workspace of that name, {known[0]}: say that the owner is "
                "to be added to it, or choose another name"
            )
        return await _record(log, state, request, known[0] if known else None, now)


async def _record(
    log: EventLog,
    state: RegistryState,
    request: OwnerRequest,
    workspace_id: str | None,
    now: datetime,
) -> NewOwner:
    token = new_access_token()
    command = AddOwner(
        workspace_id=workspace_id or new_id("ws"),
        workspace_name=request.workspace if workspace_id is None else None,
        member_id=new_id("mem"),
        name=request.name,
        email=request.email,
        token_id=token.id,
        token_name=request.token_name,
        secret_hash=token.secret_hash,
        expires_at=request.expires_at,
    )
    evidence = Evidence(state)
    facts = add_owner(command, evidence, now)
    command_id = random_text(22)
    await log.append(
        AppendGroup(
            events=facts,
            expected=evidence.relied_on,
            metadata=EventMetadata(actor="system", command_id=command_id),
            command_id=command_id,
        )
    )
    return NewOwner(
        workspace_id=command.workspace_id,
        member_id=command.member_id,
        access_token=token.text,
    )


async def _read(log: EventLog) -> RegistryState:
    state = RegistryState()
    await log.replay(state)
    return state
