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
from tollgate.tokens.revoked import DueTokens, RevokedTokens


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

    A token is cut whose `rev` is below `all_before`, or below the entry of its client
    key, or whose `iat` is before `issued_before` (seconds since the epoch).
    """

    all_before: int = 0
    by_kid: dict[str, int] | None = None
    issued_before: float = 0.0


NO_REVOCATIONS = AppRevocations()


class SigningKeys(msgspec.Struct, frozen=True, array_like=True, tag="signing_keys"):
    """A part of a `TokensState` as its dump holds it."""

    keys: list[SigningKey]


class Versions(msgspec.Struct, frozen=True, array_like=True, tag="versions"):
    """A part of a `TokensState` as its dump holds it, by client id."""

    versions: dict[str, int]


class Cuts(msgspec.Struct, frozen=True, array_like=True, tag="cuts"):
    """A part of a `TokensState` as its dump holds it, by client id."""

    cuts: dict[str, AppRevocations]


_Part: TypeAlias = SigningKeys | Versions | Cuts | DueTokens

# Without those of signing keys, which need their time and are few: a block of lines
# that has one is odd, and `apply` folds it.
_facts: msgspec.json.Decoder[tuple[int, str, RevocationEvent]] = msgspec.json.Decoder(
    tuple[int, str, RevocationEvent]
)
_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[_Part] = msgspec.json.Decoder(_Part)

_OF_APP = "oauth_app-"


class TokensState:
    """A container changed in place. `rev` of a new token is `version_of(app)`.

    `cuts` holds the apps of which more than single tokens was ever revoked: few, so
    that a decision about another app need not look for its own among a million.
    """

    LOG = "tokens"
    SHAPE = shape_of(_Part)

    def __init__(self) -> None:
        self.signing_keys: dict[str, SigningKey] = {}
        self.versions: dict[str, int] = {}
        self.cuts: dict[str, AppRevocations] = {}
        self.revoked = RevokedTokens()

    def version_of(self, client_id: str) -> int:
        """The version of the app's stream in the tokens log."""
        return self.versions.get(client_id, 0)

    def is_revoked(
        self, *, client_id: str, jti: str, key: str, rev: int, iat: float
    ) -> bool:
        """Whether a revocation cuts the token with these claims."""
        if self.revoked.holds(client_id, jti):
            return True
        cut = self.cuts.get(client_id)
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
        if isinstance(event, SigningKeyEvent):
            self._keep_signing_key(event, recorded)
        else:
            fact = (recorded.version, recorded.stream, cast("RevocationEvent", event))
            self._fold(recorded.position, [fact])
        self.reach(recorded.recorded_at)

    def fold_lines(self, first: int, lines: bytes) -> int:
        """Fold in many events at once; see `tollgate.eventlog.replay`."""
        facts = _facts.decode_lines(lines)
        self._fold(first, facts)
        return len(facts)

    def reach(self, recorded_at: datetime) -> None:
        """Forget what is of no use at that time of the log."""
        self.revoked.forget(recorded_at.timestamp())

    def _fold(self, first: int, facts: list[tuple[int, str, RevocationEvent]]) -> None:
        """Fold in facts at `first` and after it: version, stream, event."""
        versions = self.versions
        client_ids: list[str] = []
        tokens: list[TokenRevoked] = []
        for version, stream, event in facts:
            client_id = stream.removeprefix(_OF_APP)
            if client_id == stream:
                raise _of_another_kind(first + facts.index((version, stream, event)))
            versions[client_id] = version
            if event.__class__ is TokenRevoked:  # nearly all are
                client_ids.append(client_id)
                tokens.append(event)
            else:
                self._revoke(client_id, event, version)
        self.revoked.add(zip(client_ids, tokens, strict=True))

    def _revoke(self, client_id: str, event: RevocationEvent, version: int) -> None:
        """More than a single token of an app."""
        client_id = intern(client_id)
        cut = self.cuts.get(client_id, NO_REVOCATIONS)
        match event:
            case TokenRevoked():
                pass  # a single one
            case AllTokensRevoked():
                self.cuts[client_id] = replace(cut, all_before=version)
            case KeyTokensRevoked(kid=kid):
                by_kid = {**(cut.by_kid or {}), kid: version}
                self.cuts[client_id] = replace(cut, by_kid=by_kid)
            case OldTokensRevoked(issued_before=issued_before):
                latest = max(cut.issued_before, issued_before.timestamp())
                self.cuts[client_id] = replace(cut, issued_before=latest)

    def _keep_signing_key(
        self, event: SigningKeyEvent, recorded: RecordedEvent
    ) -> None:
        if recorded.category != "signing_key":
            raise _of_another_kind(recorded.position)
        kid, version = recorded.key, recorded.version
        if isinstance(event, SigningKeyAnnounced):
            self.signing_keys[kid] = SigningKey(
                kid=kid,
                alg=event.alg,
                pem=event.pem,
                version=version,
                announced_at=recorded.recorded_at,
            )
            return
        known = self.signing_keys.get(kid)
        if known is None:
            raise UnreadableEvent(f"event {recorded.position} is about no known key")
        known = replace(known, version=version)
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
        for versions in in_parts(self.versions.items()):
            yield _encoder.encode(Versions(dict(versions)))
        for cuts in in_parts(self.cuts.items()):
            yield _encoder.encode(Cuts(dict(cuts)))
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
                case Versions(versions=versions):
                    state.versions.update(
                        (intern(name), version) for name, version in versions.items()
                    )
                case Cuts(cuts=cuts):
                    state.cuts.update((intern(name), cut) for name, cut in cuts.items())
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


def _of_another_kind(position: int) -> UnreadableEvent:
    return UnreadableEvent(f"event {position} is of another kind than its stream")
