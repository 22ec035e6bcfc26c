"""An OAuth app as its stream tells it."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from sys import intern
from typing import Any

import msgspec
from msgspec.structs import force_setattr as _set
from msgspec.structs import replace

from tollgate.events import Event
from tollgate.events.registry import (
    KeyAdded,
    KeyDeleted,
    OAuthAppCreated,
    OAuthAppDeleted,
    OAuthAppEvent,
    OAuthAppRenamed,
    ScopesChanged,
    SourceConnected,
    SourceDisconnected,
    TokenLifetimeChanged,
)
from tollgate.registry.source_ids import SourceIds


class AppKey(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """A public key the app may authenticate with.

    `version` is the place in the app's stream of the event that added it: a key that
    was deleted and added again is another key to the tokens minted with it.
    """

    kid: str
    name: str
    alg: str
    pem: str
    version: int

    @property
    def claim(self) -> str:
        """The `key` claim of tokens minted with this key."""
        return f"{self.kid}/{self.version}"


class OAuthApp(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """`version` 0 means that there is no such app; `token_lifetime` is in seconds.

    `kept_keys` holds the `key` claims whose key was deleted with `keep_tokens`;
    `honoured` those and the claims of `keys`, which are all whose tokens are alive.
    `sources` are those connected, in the order in which they were.
    """

    id: str
    version: int = 0
    workspace_id: str = ""
    name: str = ""
    token_lifetime: int = 0
    scopes: frozenset[str] = frozenset()
    keys: dict[str, AppKey] = {}
    kept_keys: frozenset[str] = frozenset()
    honoured: tuple[str, ...] = ()
    sources: SourceIds = msgspec.field(default_factory=SourceIds)
    deleted: bool = False

    @property
    def exists(self) -> bool:
        return self.version > 0 and not self.deleted

    def honours(self, key: str) -> bool:
        """Whether tokens minted with the key of that claim are still alive."""
        return key in self.honoured


@lru_cache(maxsize=1024)
def shared_set(texts: frozenset[str]) -> frozenset[str]:
    """An equal set: one for all apps with the same scopes, which are most."""
    return frozenset(intern(str(text)) for text in texts)


def evolve(app: OAuthApp, event: OAuthAppEvent, version: int) -> OAuthApp:
    """The app after `event`, which stands at `version` of its stream."""
    changed = replace(app)
    AMENDMENTS[type(event)](changed, event, version)
    return changed


def _created(app: OAuthApp, event: OAuthAppCreated, version: int) -> None:
    _set(app, "version", version)
    _set(app, "workspace_id", intern(event.workspace_id))
    _set(app, "name", event.name)
    _set(app, "token_lifetime", event.token_lifetime)
    _set(app, "scopes", shared_set(frozenset(event.scopes)))
    _set_keys(app, {}, frozenset())
    _set(app, "sources", SourceIds())
    _set(app, "deleted", False)


def _renamed(app: OAuthApp, event: OAuthAppRenamed, version: int) -> None:
    _set(app, "version", version)
    _set(app, "name", event.name)


def _lifetime_changed(app: OAuthApp, event: TokenLifetimeChanged, version: int) -> None:
    _set(app, "version", version)
    _set(app, "token_lifetime", event.token_lifetime)


def _scopes_changed(app: OAuthApp, event: ScopesChanged, version: int) -> None:
    _set(app, "version", version)
    _set(app, "scopes", shared_set(frozenset(event.scopes)))


def _key_added(app: OAuthApp, event: KeyAdded, version: int) -> None:
    key = AppKey(
        kid=event.kid,
        name=event.name,
        alg=intern(str(event.alg)),  # an event just decided holds an enum
        pem=event.pem,
        version=version,
    )
    _set(app, "version", version)
    _set_keys(app, {**app.keys, key.kid: key}, app.kept_keys)


def _key_deleted(app: OAuthApp, event: KeyDeleted, version: int) -> None:
    gone = app.keys.get(event.kid)
    kept = {gone.claim} if gone is not None and event.keep_tokens else set()
    left = {other: key for other, key in app.keys.items() if other != event.kid}
    _set(app, "version", version)
    _set_keys(app, left, app.kept_keys | kept)


def _source_connected(app: OAuthApp, event: SourceConnected, version: int) -> None:
    _set(app, "version", version)
    _set(app, "sources", app.sources.adding(event.source_id))


def _source_disconnected(
    app: OAuthApp, event: SourceDisconnected, version: int
) -> None:
    _set(app, "version", version)
    _set(app, "sources", app.sources.without(event.source_id))


def _deleted(app: OAuthApp, _: OAuthAppDeleted, version: int) -> None:
    _set(app, "version", version)
    _set(app, "deleted", True)


def _set_keys(
    app: OAuthApp, keys: dict[str, AppKey], kept_keys: frozenset[str]
) -> None:
    live = (intern(key.claim) for key in keys.values())
    _set(app, "keys", keys)
    _set(app, "kept_keys", kept_keys)
    # In an order of its own: that of `keys` is another in a state read again.
    _set(app, "honoured", tuple(sorted((*live, *kept_keys))))


AMENDMENTS: Mapping[type[Event], Callable[[OAuthApp, Any, int], None]] = {
    OAuthAppCreated: _created,
    OAuthAppRenamed: _renamed,
    TokenLifetimeChanged: _lifetime_changed,
    ScopesChanged: _scopes_changed,
    KeyAdded: _key_added,
    KeyDeleted: _key_deleted,
    SourceConnected: _source_connected,
    SourceDisconnected: _source_disconnected,
    OAuthAppDeleted: _deleted,
}
"""What each event changes of an app in place: of one that nobody has seen yet."""
