"""All that the tokens log says, in memory: what is revoked, and who signs.

What may be forgotten is forgotten by the time of the log, never by the local clock.
"""

import heapq
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast

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

FORGET_AFTER = timedelta(minutes=10)
"""How long after its expiry a revocation is kept: more than any accepted leeway."""


class SigningKeyStatus(StrEnum):
    ANNOUNCED = "announced"
    ACTIVE = "active"
    RETIRED = "retired"
    COMPROMISED = "compromised"


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
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


class AppRevocations(msgspec.Struct, frozen=True, kw_only=True):
    """What is cut of one app's tokens, other than token by token.

    `version` is that of the app's stream in the tokens log. A token is cut whose
    `rev` is below `all_before`, or below the entry of its client key, or whose `iat`
    is before `issued_before` (seconds since the epoch).
    """

    version: int = 0
    all_before: int = 0
    by_kid: dict[str, int] = {}
    issued_before: float = 0.0


NO_REVOCATIONS = AppRevocations()


class TokensState:
    """A container changed in place. `rev` of a new token is `version_of(app)`."""

    LOG = "tokens"

    def __init__(self) -> None:
        self.signing_keys: dict[str, SigningKey] = {}
        self.apps: dict[str, AppRevocations] = {}
        self.revoked_jtis: dict[str, tuple[str, datetime]] = {}
        self._by_expiry: list[tuple[datetime, str]] = []

    def version_of(self, client_id: str) -> int:
        return self.apps.get(client_id, NO_REVOCATIONS).version

    def is_revoked(
        self, *, client_id: str, jti: str, key: str, rev: int, iat: float
    ) -> bool:
        """Whether a revocation cuts the token with these claims."""
        single = self.revoked_jtis.get(jti)
        if single is not None and single[0] == client_id:
            return True
        cut = self.apps.get(client_id)
        if cut is None:
            return False
        if rev < cut.all_before or iat < cut.issued_before:
            return True
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
        self._forget(recorded.recorded_at)

    def _revoke(
        self, client_id: str, event: RevocationEvent, recorded: RecordedEvent
    ) -> None:
        version = recorded.version
        cut = replace(self.apps.get(client_id, NO_REVOCATIONS), version=version)
        match event:
            case TokenRevoked(jti=jti, expires_at=expires_at):
                self.revoked_jtis[jti] = (client_id, expires_at)
                heapq.heappush(self._by_expiry, (expires_at, jti))
            case AllTokensRevoked():
                cut = replace(cut, all_before=version)
            case KeyTokensRevoked(kid=kid):
                cut = replace(cut, by_kid={**cut.by_kid, kid: version})
            case OldTokensRevoked(issued_before=issued_before):
                latest = max(cut.issued_before, issued_before.timestamp())
                cut = replace(cut, issued_before=latest)
        self.apps[client_id] = cut

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

    def _forget(self, now: datetime) -> None:
        """Drop revocations of tokens that have expired by the time of the log."""
        while self._by_expiry and self._by_expiry[0][0] + FORGET_AFTER < now:
            expires_at, jti = heapq.heappop(self._by_expiry)
            held = self.revoked_jtis.get(jti)
            if held is not None and held[1] == expires_at:
                del self.revoked_jtis[jti]

    def contents(self) -> dict[str, dict[str, Any]]:
        """Copies of the containers, by name; what they hold never changes."""
        return {
            "signing_keys": self.signing_keys.copy(),
            "apps": self.apps.copy(),
            "revoked_jtis": self.revoked_jtis.copy(),
        }

    def dump(self) -> bytes:
        """The whole state as JSON with sorted members: for snapshots and comparing."""
        return msgspec.json.encode(self.contents(), order="deterministic")

    @classmethod
    def load(cls, dump: bytes) -> "TokensState":
        """The state of a `dump`; raises `msgspec.MsgspecError` if it is not one."""
        read = msgspec.json.decode(dump, type=_Dump)
        state = cls()
        state.signing_keys = read.signing_keys
        state.apps = read.apps
        state.revoked_jtis = read.revoked_jtis
        state._by_expiry = [
            (expires_at, jti) for jti, (_, expires_at) in read.revoked_jtis.items()
        ]
        heapq.heapify(state._by_expiry)
        return state


class _Dump(msgspec.Struct, frozen=True, kw_only=True):
    signing_keys: dict[str, SigningKey]
    apps: dict[str, AppRevocations]
    revoked_jtis: dict[str, tuple[str, datetime]]
