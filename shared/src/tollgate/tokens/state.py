"""All that the tokens log says, in memory: what is revoked, and who signs.

What may be forgotten is forgotten by the time of the log, never by the local clock.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from sys import intern
from typing import TypeAlias, cast

import msgspec
from msgspec.structs import replace

from tollgate.events import RecordedEvent, UnreadableEvent
from tollgate.events.tokens import (
    AllTokensRevoked,
    KeyTokensRevoked,
    OldTokensRevoked,
    RevocationEvent,
    SigningKeyActivated,
    SigningKeyAnnounced,
    SigningKeyCompromised,
    SigningKeyEvent,
    SigningKeyRetired,
    TokenRevoked,
    tokens_decoder,
)
from tollgate.state_parts import in_parts, shape_of
from tollgate.tokens.revoked import DueTokens, RepeatedToken, RevokedTokens


class SigningKeyStatus(StrEnum):
    ANNOUNCED = "announced"
    ACTIVE = "active"
    RETIRED = "retired"
    COMPROMISED = "compromised"


class SigningKey(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """Times are the log's; `last_expiry` bounds a retired key's tokens."""

    kid: str
    alg: str
    pem: str
    version: int
    announced_at: datetime
    status: SigningKeyStatus = SigningKeyStatus.ANNOUNCED
    activated_at: datetime | None = None
    last_expiry: datetime | None = None

    @property
    def verifies(self) -> bool:
        """Whether a token it signed may still be good."""
        return self.status is not SigningKeyStatus.COMPROMISED

    def outlives(self, exp: float) -> bool:
        """Whether a token with that `exp` may be one it signed while it was in use.

        Who steals a key that was retired long ago can sign, but nothing for today.
        """
        return self.last_expiry is None or exp <= self.last_expiry.timestamp()


class AppRevocations(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True
):
    """What is cut of one app's tokens, other than token by token.

    `version` is that of the app's stream in the tokens log. A token is cut whose
    `rev` is below `all_before`, or below the entry of its client key, or whose `iat`
    is before `issued_before` (seconds since the epoch).
    """

    version: int = 0
    all_before: int = 0
    by_kid: dict[str, int] | None = None
    issued_before: float = 0.0


NO_REVOCATIONS = AppRevocations()


class SigningKeys(msgspec.Struct, frozen=True, array_like=True, tag="signing_keys"):
    """A part of a `TokensState` as its dump holds it."""

    keys: list[SigningKey]


class RevokedApps(msgspec.Struct, frozen=True, array_like=True, tag="apps"):
    """A part of a `TokensState` as its dump holds it, by client id."""

    apps: dict[str, AppRevocations]


_Part: TypeAlias = SigningKeys | RevokedApps | DueTokens | RepeatedToken

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[_Part] = msgspec.json.Decoder(_Part)


class TokensState:
    """A container changed in place. `rev` of a new token is `version_of(app)`."""

    LOG = "tokens"
    SHAPE = shape_of(_Part)

    def __init__(self) -> None:
        self.signing_keys: dict[str, SigningKey] = {}
        self.apps: dict[str, AppRevocations] = {}
        self.revoked = RevokedTokens()

    def version_of(self, client_id: str) -> int:
        return self.apps.get(client_id, NO_REVOCATIONS).version

    def is_revoked(
        self, *, client_id: str, jti: str, key: str, rev: int, iat: float
    ) -> bool:
        """Whether a revocation cuts the token with these claims."""
        if self.revoked.holds(client_id, jti):
            return True
        cut = self.apps.get(client_id)
        if cut is None:
            return False
        if rev < cut.all_before or iat < cut.issued_before:
            return True
        if cut.by_kid is None:
            return False
        return rev < cut.by_kid.get(key.rpartition("/")[0], 0)

    def apply(self, recorded: RecordedEvent) -> None:
        """Fold in the next event of the log, or raise `UnreadableEvent`."""
        event = tokens_decoder.decode(recorded)
        if event is None:
            return
        category, _, key = recorded.stream.partition("-")
        match category:
            case "oauth_app":
                self._revoke(key, cast("RevocationEvent", event), recorded)
            case "signing_key":
                self._keep_signing_key(key, cast("SigningKeyEvent", event), recorded)
            case _:
                raise UnreadableEvent(
                    f"event {recorded.position} has an unknown kind of stream"
                )
        self.revoked.forget(recorded.recorded_at)

    def _revoke(
        self, client_id: str, event: RevocationEvent, recorded: RecordedEvent
    ) -> None:
        version = recorded.version
        cut = replace(self.apps.get(client_id, NO_REVOCATIONS), version=version)
        match event:
            case TokenRevoked(jti=jti, expires_at=expires_at):
                self.revoked.add(client_id, jti, expires_at)
            case AllTokensRevoked():
                cut = replace(cut, all_before=version)
            case KeyTokensRevoked(kid=kid):
                cut = replace(cut, by_kid={**(cut.by_kid or {}), kid: version})
            case OldTokensRevoked(issued_before=issued_before):
                latest = max(cut.issued_before, issued_before.timestamp())
                cut = replace(cut, issued_before=latest)
        self.apps[intern(client_id)] = cut

    def _keep_signing_key(
        self, kid: str, event: SigningKeyEvent, recorded: RecordedEvent
    ) -> None:
        if isinstance(event, SigningKeyAnnounced):
            self.signing_keys[kid] = SigningKey(
                kid=kid,
                alg=event.alg,
                pem=event.pem,
                version=recorded.version,
                announced_at=recorded.recorded_at,
            )
            return
        known = self.signing_keys.get(kid)
        if known is None:
            raise UnreadableEvent(f"event {recorded.position} is about no known key")
        known = replace(known, version=recorded.version)
        match event:
            case _ if not known.verifies:
                pass  # compromised is for good, whatever is said of it later
            case SigningKeyActivated():
                known = replace(
                    known,
                    status=SigningKeyStatus.ACTIVE,
                    activated_at=recorded.recorded_at,
                )
            case SigningKeyRetired(last_expiry=last_expiry):
                known = replace(
                    known, status=SigningKeyStatus.RETIRED, last_expiry=last_expiry
                )
            case SigningKeyCompromised():
                known = replace(known, status=SigningKeyStatus.COMPROMISED)
        self.signing_keys[kid] = known

    def parts(self) -> Iterator[bytes]:
        """The whole state as lines of JSON; changing it meanwhile is not allowed."""
        for keys in in_parts(self.signing_keys.values()):
            yield _encoder.encode(SigningKeys(keys))
        for apps in in_parts(self.apps.items()):
            yield _encoder.encode(RevokedApps(dict(apps)))
        for entry in self.revoked.entries():
            yield _encoder.encode(entry)

    @classmethod
    def of_parts(cls, parts: Iterable[bytes]) -> "TokensState":
        """The state that has these `parts`.

        Raises `msgspec.MsgspecError` or `ValueError` if they are none.
        """
        state = cls()
        for part in map(_decoder.decode, parts):
            match part:
                case SigningKeys(keys=keys):
                    state.signing_keys.update((key.kid, key) for key in keys)
                case RevokedApps(apps=apps):
                    state.apps.update((intern(name), cut) for name, cut in apps.items())
                case _:
                    state.revoked.restore(part)
        return state

    def dump(self) -> bytes:
        """All `parts` at once: for comparing, and for small states."""
        return b"\n".join(self.parts())

    @classmethod
    def load(cls, dump: bytes) -> "TokensState":
        """The state of a `dump`; raises as `of_parts` does."""
        return cls.of_parts(dump.splitlines())
