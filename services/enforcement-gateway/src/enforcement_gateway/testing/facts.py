"""What administrators and the issuer would have recorded, and the tokens that follow.

Every function gives facts, each with the stream it stands on; whoever calls it decides
which log they go to.
"""

import time
from uuid import uuid4

import msgspec

from tollgate.events.registry import (
    Enforcement,
    EnforcementChanged,
    KeyAdded,
    OAuthAppConnected,
    OAuthAppCreated,
    SourceConnected,
    SourceCreated,
    WriteKeyAdded,
)
from tollgate.events.tokens import SigningKeyActivated, SigningKeyAnnounced
from tollgate.ids import new_id
from tollgate.oauth.access_tokens import access_token_claims
from tollgate.oauth.scopes import Scope, audiences_of
from tollgate.oauth.signing_keys import SigningKey
from tollgate.testing.keys import signing_key
from tollgate.testing.scenario import Fact, on
from tollgate.testing.tokens import signed

ISSUER = "https://issuer.example"
WORKSPACE = "ws_1"
LIFETIME = 86_400

_VERSION_OF_FIRST_KEY = 2


class App(msgspec.Struct, frozen=True, kw_only=True):
    """An app with one key. `rev` is what its next token says."""

    id: str
    key: SigningKey
    scopes: tuple[Scope, ...]
    rev: int = 0

    @property
    def stream(self) -> str:
        return f"oauth_app-{self.id}"

    @property
    def claim(self) -> str:
        return f"{self.key.kid}/{_VERSION_OF_FIRST_KEY}"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    write_key: str

    @property
    def stream(self) -> str:
        return f"source-{self.id}"


def new_app(*scopes: Scope) -> App:
    """One with these scopes; with none named it may send events."""
    return App(
        id=new_id("app"),
        key=signing_key(nth=1),
        scopes=scopes or (Scope.TRACKING_API_WRITE,),
    )


def new_source() -> Source:
    return Source(id=new_id("src"), write_key=uuid4().hex)


def app_created(app: App) -> list[Fact]:
    public = app.key.public
    return on(
        app.stream,
        OAuthAppCreated(
            workspace_id=WORKSPACE,
            name=app.id,
            token_lifetime=LIFETIME,
            scopes=app.scopes,
        ),
        KeyAdded(kid=app.key.kid, name="first", alg=public.alg.value, pem=public.pem),
    )


def source_created(
    source: Source, mode: Enforcement = Enforcement.OFF, app: App | None = None
) -> list[Fact]:
    """The source with its key, connected to `app` if one is given, and so enforced."""
    facts = on(
        source.stream,
        SourceCreated(workspace_id=WORKSPACE, name=source.id, source_type="http-api"),
        WriteKeyAdded(write_key=source.write_key),
    )
    if app is not None:
        facts += on(source.stream, OAuthAppConnected(app_id=app.id))
        facts += on(app.stream, SourceConnected(source_id=source.id))
    if mode is not Enforcement.OFF:
        facts += on(source.stream, EnforcementChanged(mode=mode))
    return facts


def signing_key_announced(key: SigningKey) -> list[Fact]:
    """The issuer signs with it from now on."""
    return on(
        f"signing_key-{key.kid}",
        SigningKeyAnnounced(alg=key.public.alg.value, pem=key.public.pem),
        SigningKeyActivated(),
    )


def minted(
    app: App,
    key: SigningKey,
    *,
    issued_at: float | None = None,
    lifetime: int = LIFETIME,
    typ: str = "at+jwt",
    **claims: object,
) -> str:
    """A token of the app by the issuer's `key`, with some `claims` of its own."""
    usual = access_token_claims(
        issuer=ISSUER,
        client_id=app.id,
        audiences=audiences_of(app.scopes),
        scopes=app.scopes,
        jti=str(uuid4()),
        key=app.claim,
        rev=app.rev,
        issued_at=int(time.time() if issued_at is None else issued_at),
        lifetime=lifetime,
    )
    return signed(key, msgspec.to_builtins(usual) | claims, typ=typ)
