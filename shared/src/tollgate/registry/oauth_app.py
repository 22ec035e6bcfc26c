"""An OAuth app as its stream tells it."""

from functools import lru_cache
from sys import intern
from typing import assert_never

import msgspec
from msgspec.structs import replace

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
    sources: tuple[str, ...] = ()
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
    # What happens most often comes first: a log is folded at every start.
    match event:
        case SourceConnected(source_id=source_id):
            sources = app.sources
            if source_id not in sources:
                sources = (*sources, source_id)
            return replace(app, version=version, sources=sources)
        case KeyAdded():
            key = AppKey(
                kid=event.kid,
                name=event.name,
                alg=intern(str(event.alg)),  # an event just decided holds an enum
                pem=event.pem,
                version=version,
            )
            return _with_keys(app, version, {**app.keys, key.kid: key}, app.kept_keys)
        case OAuthAppCreated():
            return OAuthApp(
                id=app.id,
                version=version,
                workspace_id=intern(event.workspace_id),
                name=event.name,
                token_lifetime=event.token_lifetime,
                scopes=shared_set(frozenset(event.scopes)),
            )
        case OAuthAppRenamed(name=name):
            return replace(app, version=version, name=name)
        case TokenLifetimeChanged(token_lifetime=token_lifetime):
            return replace(app, version=version, token_lifetime=token_lifetime)
        case ScopesChanged(scopes=scopes):
            return replace(app, version=version, scopes=shared_set(frozenset(scopes)))
        case KeyDeleted(kid=kid, keep_tokens=keep_tokens):
            gone = app.keys.get(kid)
            kept = {gone.claim} if gone is not None and keep_tokens else set()
            left = {other: key for other, key in app.keys.items() if other != kid}
            return _with_keys(app, version, left, app.kept_keys | kept)
        case SourceDisconnected(source_id=source_id):
            sources = tuple(each for each in app.sources if each != source_id)
            return replace(app, version=version, sources=sources)
        case OAuthAppDeleted():
            return replace(app, version=version, deleted=True)
        case _:
            assert_never(event)


def _with_keys(
    app: OAuthApp, version: int, keys: dict[str, AppKey], kept_keys: frozenset[str]
) -> OAuthApp:
    live = (intern(key.claim) for key in keys.values())
    return replace(
        app,
        version=version,
        keys=keys,
        kept_keys=kept_keys,
        # In an order of its own: that of `keys` is another in a state read again.
        honoured=tuple(sorted((*live, *kept_keys))),
    )
