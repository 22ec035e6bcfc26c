"""Revocations by administrators: a leaked token must die while all else is down.

Who may is decided from this service's own view of the registry log, with the same
roles as in the app-registry. What is revoked is recorded in the tokens log.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from token_issuer.callers import Caller
from token_issuer.knowledge import Knowledge
from token_issuer.revocations import Revocations
from token_issuer.token_records import TokenRecords
from tollgate.clock import Clock
from tollgate.errors import DomainError, Unavailable
from tollgate.eventlog import EventLog, LogUnavailable
from tollgate.events import EventMetadata
from tollgate.events.tokens import (
    AllTokensRevoked,
    KeyTokensRevoked,
    OldTokensRevoked,
    RevocationEvent,
)
from tollgate.ids import ID_LENGTH, random_text
from tollgate.oauth.access_tokens import TokenRefusal, VerifiedAccessToken
from tollgate.oauth.bearer import NoBearer, read_bearer
from tollgate.registry.authentication import (
    AuthenticatedActor,
    Doubt,
    authenticate_bearer,
)
from tollgate.registry.oauth_app import OAuthApp
from tollgate.registry.roles import Action, AppTarget, SourceTarget, may
from tollgate.registry.source_types import kind_of
from tollgate.registry.state import RegistryState


class CredentialRefused(DomainError):
    """Nobody that we know shows this credential."""


class NotPermitted(DomainError):
    """The roles of whoever asks do not allow it."""


class NoSuchApp(DomainError):
    """There is no such app in the workspace of whoever asks."""


class NoSuchKey(DomainError):
    """The app has no such key, whose tokens could be alive."""


class NotAnAccessToken(DomainError):
    """What was sent is no token of the app: nothing was revoked."""


class NotInThePast(DomainError):
    """Tokens that do not exist yet cannot be revoked."""


class IdempotencyKeyReused(DomainError):
    """The key stands for another request."""


class Revoke(msgspec.Struct, frozen=True, kw_only=True):
    """What to end: one of the four is given.

    `token` is the whole token, `kid` the client key that tokens were minted with.
    """

    token: str | None = None
    all: bool = False
    kid: str | None = None
    issued_before: datetime | None = None


class Idempotency(msgspec.Struct, frozen=True):
    """The key under which a request may be repeated, and a digest of it."""

    key: str
    digest: str


class Revoked(msgspec.Struct, frozen=True, kw_only=True):
    """`position` in the tokens log; None if there was nothing left to revoke.

    `replayed` tells that an earlier request with the same key had done it.
    """

    app_id: str
    position: int | None
    replayed: bool = False


class Administration:
    """Raises a `DomainError` that says why not, or `Unavailable`."""

    def __init__(
        self,
        *,
        knowledge: Knowledge,
        log: EventLog,
        records: TokenRecords,
        revocations: Revocations,
        issuer: str,
        audience: str,
        clock: Clock,
    ) -> None:
        self._knowledge = knowledge
        self._log = log
        self._records = records
        self._revocations = revocations
        self._issuer = issuer
        self._audience = audience
        self._clock = clock

    async def authenticate(self, authorization: Sequence[str]) -> AuthenticatedActor:
        """Whose credential stands in the Authorization fields."""
        bearer = read_bearer(authorization)
        if isinstance(bearer, NoBearer):
            raise CredentialRefused("send one access token as bearer")
        await self._knowledge.become_fresh()
        actor = self._look_at(bearer)
        if actor is Doubt.UNKNOWN:
            await self._knowledge.refresh()
            actor = self._look_at(bearer)
        self._knowledge.require_fresh()
        if actor is Doubt.INSUFFICIENT_SCOPE:
            raise NotPermitted("the access token lacks the scope of the admin API")
        if isinstance(actor, Doubt):
            raise CredentialRefused("the access token is not valid")
        return actor

    async def revoke(
        self,
        app_id: str,
        wanted: Revoke,
        *,
        actor: AuthenticatedActor,
        caller: Caller,
        idempotency: Idempotency | None,
    ) -> Revoked:
        """End what is `wanted` of the app's tokens, once for each idempotency key."""
        app = await self._app_of(actor, app_id)
        self._require_permission(actor, app)
        # Named in any case: the log then tells whether a try got through whose answer
        # was lost on the way.
        command_id = (
            random_text(ID_LENGTH)
            if idempotency is None
            else f"{actor.stream}:{idempotency.key}"
        )
        metadata = caller.metadata(
            actor.stream,
            command_id=command_id,
            command_digest=None if idempotency is None else idempotency.digest,
        )
        position = await self._position_of(metadata)
        if position is not None:
            return Revoked(app_id=app.id, position=position, replayed=True)
        await self._record(app, wanted, metadata)
        # Asked again: another request with this key may have come first.
        return Revoked(app_id=app.id, position=await self._position_of(metadata))

    def _look_at(self, bearer: str) -> AuthenticatedActor | Doubt:
        return authenticate_bearer(
            bearer,
            registry=self._knowledge.registry,
            tokens=self._knowledge.tokens,
            issuer=self._issuer,
            audience=self._audience,
            now=self._clock.now(),
        )

    async def _app_of(self, actor: AuthenticatedActor, app_id: str) -> OAuthApp:
        if self._knowledge.registry.apps.get(app_id) is None:
            await self._knowledge.refresh()
        app = self._knowledge.registry.apps.get(app_id)
        if (
            app is None
            or not app.exists
            or app.workspace_id != actor.actor.workspace_id
        ):
            raise NoSuchApp("there is no such OAuth app")
        return app

    def _require_permission(self, actor: AuthenticatedActor, app: OAuthApp) -> None:
        target = _target_of(app, self._knowledge.registry)
        permitted = may(actor.actor, Action.EDIT_APP, target)
        self._knowledge.require_fresh()
        if not permitted:
            raise NotPermitted("your roles do not allow this")

    async def _position_of(self, metadata: EventMetadata) -> int | None:
        """Where the command stands in the log, if it is there."""
        if metadata.command_id is None:
            return None
        try:
            events = await self._log.read_command(metadata.command_id)
        except LogUnavailable as error:
            raise Unavailable("the tokens log cannot be read") from error
        if not events or events[0].metadata is None:
            return None
        known = msgspec.json.decode(events[0].metadata, type=EventMetadata)
        if known.command_digest != metadata.command_digest:
            raise IdempotencyKeyReused("this key was used for another request")
        return events[0].position

    async def _record(
        self, app: OAuthApp, wanted: Revoke, metadata: EventMetadata
    ) -> None:
        if wanted.token is not None:
            token = await self._token_of(app, wanted.token)
            await self._revocations.revoke_token(token, metadata)
        else:
            event = await self._event_of(app, wanted)
            await self._revocations.record(app.id, event, metadata)

    async def _token_of(self, app: OAuthApp, text: str) -> VerifiedAccessToken:
        token = await self._records.verify(text)
        if isinstance(token, TokenRefusal) or token.client_id != app.id:
            raise NotAnAccessToken(
                "this is no access token of the app: paste it whole, as it was issued"
            )
        return token

    async def _event_of(self, app: OAuthApp, wanted: Revoke) -> RevocationEvent:
        if wanted.kid is not None:
            await self._require_key(app, wanted.kid)
            return KeyTokensRevoked(kid=wanted.kid)
        if wanted.issued_before is not None:
            if wanted.issued_before > self._clock.now():
                raise NotInThePast("issued_before must be in the past")
            return OldTokensRevoked(issued_before=wanted.issued_before)
        return AllTokensRevoked()

    async def _require_key(self, app: OAuthApp, kid: str) -> None:
        """A misspelt kid must not look as if something had been revoked."""
        if not _has_had(app, kid):
            await self._knowledge.refresh()
            app = self._knowledge.registry.apps.get(app.id, app)
        if not _has_had(app, kid):
            raise NoSuchKey("the app has no such key, or its tokens have ended with it")


def _has_had(app: OAuthApp, kid: str) -> bool:
    """Whether live tokens may have been minted with a key of that name."""
    kept = {claim.rpartition("/")[0] for claim in app.kept_keys}
    return kid in app.keys or kid in kept


def _target_of(app: OAuthApp, registry: RegistryState) -> AppTarget:
    """The app as the roles look at it."""
    connected = (registry.sources.get(source_id) for source_id in app.sources)
    return AppTarget(
        id=app.id,
        scopes=app.scopes,
        sources=tuple(
            SourceTarget(id=source.id, kind=kind_of(source.source_type))
            for source in connected
            if source is not None
        ),
    )
