"""Views of any size, filled with entities as a long history would have left them."""

import os
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from bench.measuring.processes import resident_bytes
from enforcement_gateway.testing.facts import ISSUER
from tollgate.events.registry import Enforcement
from tollgate.events.tokens import TokenRevoked
from tollgate.ids import ALPHABET, ID_LENGTH
from tollgate.oauth.access_tokens import access_token_claims, mint_access_token
from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.scopes import Scope, audiences_of
from tollgate.oauth.signing_keys import SigningKey
from tollgate.registry.oauth_app import AppKey, OAuthApp, shared_set
from tollgate.registry.source import Source
from tollgate.registry.source_ids import SourceIds
from tollgate.registry.state import RegistryState
from tollgate.testing.keys import signing_key as make_signing_key
from tollgate.tokens.state import SigningKey as KnownSigningKey
from tollgate.tokens.state import SigningKeyStatus, TokensState

KEY_VERSION = 2
LIFETIME = timedelta(days=1)
JTI_BYTES = 20


class Size(msgspec.Struct, frozen=True):
    """How many of each. The sources are spread over the apps evenly."""

    sources: int
    apps: int
    revocations: int


class Filled(msgspec.Struct):
    """Both states, and what each kind of thing has taken of memory, in bytes."""

    registry: RegistryState
    tokens: TokensState
    source_bytes: float
    app_bytes: float
    revocation_bytes: float


def fill(size: Size, signing_key: SigningKey) -> Filled:
    """A view in which every source is enforced and every app has had tokens revoked."""
    registry, tokens = RegistryState(), TokensState()
    app_ids = [_new_id("app") for _ in range(size.apps)]
    per_source = _memory_of(
        size.sources, lambda: _add_sources(registry, size.sources, app_ids)
    )
    per_app = _memory_of(size.apps, lambda: _add_apps(registry, app_ids))
    per_revocation = _memory_of(
        size.revocations, lambda: _revoke(tokens, size.revocations, app_ids)
    )
    public = signing_key.public
    tokens.signing_keys[signing_key.kid] = KnownSigningKey(
        kid=signing_key.kid,
        alg=public.alg.value,
        pem=public.pem,
        version=2,
        announced_at=datetime.now(UTC),
        status=SigningKeyStatus.ACTIVE,
    )
    return Filled(registry, tokens, per_source, per_app, per_revocation)


def token_for(source: Source, registry: RegistryState, signing_key: SigningKey) -> str:
    """A token of the app that `source` is connected to."""
    assert source.app_id is not None
    app = registry.apps[source.app_id]
    claims = access_token_claims(
        issuer=ISSUER,
        client_id=app.id,
        audiences=audiences_of(tuple(Scope)),
        scopes=tuple(Scope),
        jti=secrets.token_urlsafe(JTI_BYTES),
        key=next(iter(app.keys.values())).claim,
        rev=0,
        issued_at=int(time.time()),
        lifetime=int(LIFETIME.total_seconds()),
    )
    return mint_access_token(claims, signing_key)


def _memory_of(count: int, add: Callable[[], None]) -> float:
    before = resident_bytes(os.getpid())
    add()
    return (resident_bytes(os.getpid()) - before) / count


def _add_sources(registry: RegistryState, count: int, app_ids: list[str]) -> None:
    for number in range(count):
        source = Source(
            id=_new_id("src"),
            version=4,
            workspace_id="ws_1",
            name=f"source {number}",
            source_type="python",
            write_keys=(secrets.token_urlsafe(24),),
            app_id=app_ids[number % len(app_ids)],
            enforcement=Enforcement.ENFORCE,
        )
        registry.keep_source(source)


def _add_apps(registry: RegistryState, app_ids: list[str]) -> None:
    public = make_signing_key(Algorithm.RS256).public
    scopes = shared_set(frozenset(Scope))
    source_ids = list(registry.sources)
    for number, app_id in enumerate(app_ids):
        key = AppKey(
            kid=secrets.token_urlsafe(32),
            name="first",
            alg=public.alg.value,
            pem=public.pem + "\n",  # a text of its own, as each has
            version=KEY_VERSION,
        )
        connected = tuple(source_ids[number :: len(app_ids)])
        app = OAuthApp(
            id=app_id,
            version=KEY_VERSION + len(connected),
            workspace_id="ws_1",
            name=f"app {number}",
            token_lifetime=int(LIFETIME.total_seconds()),
            scopes=scopes,
            keys={key.kid: key},
            honoured=(key.claim,),
            sources=SourceIds(connected),
        )
        registry.keep_app(app)


def _revoke(tokens: TokensState, count: int, app_ids: list[str]) -> None:
    now = datetime.now(UTC)
    for app_id in app_ids:
        tokens.versions[app_id] = count // len(app_ids)
    for number in range(count):
        expires_at = now + LIFETIME * (number / count)
        jti = secrets.token_urlsafe(JTI_BYTES)
        revoked = TokenRevoked(jti=jti, expires_at=expires_at)
        tokens.revoked.add([(app_ids[number % len(app_ids)], revoked)])


def _new_id(prefix: str) -> str:
    """As `tollgate.ids.new_id`, a hundred times faster, and as long."""
    digits = secrets.token_bytes(ID_LENGTH).translate(_OF_BASE_62).decode()
    return f"{prefix}_{digits}"


_OF_BASE_62 = bytes(ord(ALPHABET[byte % len(ALPHABET)]) for byte in range(256))
