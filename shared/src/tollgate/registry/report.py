"""A workspace as a document that people read: no secret in it."""

from typing import Any

from tollgate.registry.state import RegistryState

SHOWN = 4
"""Characters of a write key that are shown; the rest is masked."""


def describe(
    state: RegistryState, *, workspace_id: str | None = None, write_keys: bool = False
) -> list[dict[str, Any]]:
    """Every workspace (or one) with what exists in it, sorted by id."""
    return [
        {
            "id": workspace.id,
            "name": workspace.name,
            "members": _members(state, workspace.id),
            "access_tokens": _access_tokens(state, workspace.id),
            "sources": _sources(state, workspace.id, write_keys=write_keys),
            "oauth_apps": _apps(state, workspace.id),
        }
        for workspace in sorted(state.workspaces.values(), key=lambda each: each.id)
        if workspace_id in (None, workspace.id)
    ]


def masked(write_key: str) -> str:
    return "…" + write_key[-SHOWN:]


def _members(state: RegistryState, workspace_id: str) -> list[dict[str, Any]]:
    return [
        {
            "id": member.id,
            "name": member.name,
            "email": member.email,
            "grants": member.grants,
        }
        for member in sorted(state.members.values(), key=lambda each: each.id)
        if member.exists and member.workspace_id == workspace_id
    ]


def _access_tokens(state: RegistryState, workspace_id: str) -> list[dict[str, Any]]:
    return [
        {
            "id": token.id,
            "member_id": token.member_id,
            "name": token.name,
            "expires_at": token.expires_at,
            "last_used_on": token.last_used_on,
        }
        for token in sorted(state.access_tokens.values(), key=lambda each: each.id)
        if token.exists and token.workspace_id == workspace_id
    ]


def _sources(
    state: RegistryState, workspace_id: str, *, write_keys: bool
) -> list[dict[str, Any]]:
    return [
        {
            "id": source.id,
            "name": source.name,
            "type": source.source_type,
            "write_keys": [
                key if write_keys else masked(key) for key in source.write_keys
            ],
            "oauth_app": source.app_id,
            "enforcement": source.enforcement,
        }
        for source in sorted(state.sources.values(), key=lambda each: each.id)
        if source.exists and source.workspace_id == workspace_id
    ]


def _apps(state: RegistryState, workspace_id: str) -> list[dict[str, Any]]:
    return [
        {
            "id": app.id,
            "name": app.name,
            "token_lifetime": app.token_lifetime,
            "scopes": sorted(app.scopes),
            "keys": [
                {"kid": key.kid, "name": key.name, "alg": key.alg}
                for key in sorted(app.keys.values(), key=lambda each: each.version)
            ],
            "sources": sorted(app.sources),
        }
        for app in sorted(state.apps.values(), key=lambda each: each.id)
        if app.exists and app.workspace_id == workspace_id
    ]
