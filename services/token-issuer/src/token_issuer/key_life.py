"""The life of a signing key: announced, active, retired; or compromised.

An announced key is published long enough for every verifier to know it before it signs.
There is always one announced beside the active one, so that a key can be replaced at
once when it has to be. Only the first key of an empty log signs as soon as it exists:
there is nobody yet who could refuse it.

Everything here is decided from the tokens log and its own time, so that replicas decide
alike, and the versions and command ids let only one of them do it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

import msgspec

from tollgate.events.tokens import (
    SigningKeyActivated,
    SigningKeyCompromised,
    SigningKeyEvent,
    SigningKeyRetired,
)
from tollgate.tokens.state import SigningKey, SigningKeyStatus

Keys: TypeAlias = Mapping[str, SigningKey]
"""Every key of the log, by `kid`."""


_KeyChange: TypeAlias = tuple[SigningKey, SigningKeyEvent]


class KeyPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """`lead` is how long a key is announced before it signs, `tail` how long a token
    may outlive the retirement of its key."""

    rotation_interval: timedelta
    lead: timedelta
    tail: timedelta


class Announce(msgspec.Struct, frozen=True):
    """A new key is wanted, the `number`th of this log."""

    number: int

    @property
    def signs_at_once(self) -> bool:
        return self.number == 1


class Change(msgspec.Struct, frozen=True):
    """Events for keys that exist, and the versions that they were decided on."""

    events: Sequence[tuple[str, SigningKeyEvent]]
    expected: Mapping[str, int]


class RotationRefused(Exception):
    """The keys cannot change as asked, and why."""


def active_key(keys: Keys) -> SigningKey | None:
    """The key that signs."""
    return _first(keys, SigningKeyStatus.ACTIVE)


def next_step(keys: Keys, now: datetime, policy: KeyPolicy) -> Announce | Change | None:
    """What is due at `now`, a time of the log; None while nothing is."""
    active = active_key(keys)
    successor = _first(keys, SigningKeyStatus.ANNOUNCED)
    if successor is None:
        return Announce(len(keys) + 1)
    if not _is_ripe(successor, now, policy):
        return None
    if active is None:
        return _change(_activate(successor))
    if active.activated_at is None or (
        active.activated_at + policy.rotation_interval <= now
    ):
        return _change(_activate(successor), _retire(active, now, policy))
    return None


def rotate(keys: Keys, now: datetime, policy: KeyPolicy) -> Change:
    """Replace the active key now, whatever its age, or raise `RotationRefused`."""
    active = active_key(keys)
    successor = _first(keys, SigningKeyStatus.ANNOUNCED)
    if successor is None:
        raise RotationRefused("no key is announced yet: start the service first")
    if not _is_ripe(successor, now, policy):
        ripe_at = (successor.announced_at + policy.lead).isoformat(timespec="seconds")
        raise RotationRefused(f"the announced key may sign from {ripe_at} on")
    changes = [_activate(successor)]
    if active is not None:
        changes.append(_retire(active, now, policy))
    return _change(*changes)


def compromise(keys: Keys, kid: str, now: datetime, policy: KeyPolicy) -> Change:
    """End all tokens of the key `kid`, or raise `RotationRefused`.

    If it is the active one, its successor signs from now on, once it is ripe.
    """
    key = keys.get(kid)
    if key is None:
        raise RotationRefused("there is no such key")
    if key.status is SigningKeyStatus.COMPROMISED:
        raise RotationRefused("the key is marked as compromised already")
    changes: list[_KeyChange] = [(key, SigningKeyCompromised())]
    successor = _first(keys, SigningKeyStatus.ANNOUNCED)
    if (
        key.status is SigningKeyStatus.ACTIVE
        and successor is not None
        and _is_ripe(successor, now, policy)
    ):
        changes.append(_activate(successor))
    return _change(*changes)


def published_keys(keys: Keys, now: datetime) -> list[SigningKey]:
    """What verifiers need: whoever may sign soon, signs, or whose tokens live on."""
    return [
        key
        for key in keys.values()
        if key.verifies and (key.last_expiry is None or now < key.last_expiry)
    ]


def _first(keys: Keys, status: SigningKeyStatus) -> SigningKey | None:
    """The oldest key of that status."""
    return min(
        (key for key in keys.values() if key.status is status),
        key=lambda key: (key.announced_at, key.kid),
        default=None,
    )


def _is_ripe(key: SigningKey, now: datetime, policy: KeyPolicy) -> bool:
    return key.announced_at + policy.lead <= now


def _activate(key: SigningKey) -> _KeyChange:
    return key, SigningKeyActivated()


def _retire(key: SigningKey, now: datetime, policy: KeyPolicy) -> _KeyChange:
    return key, SigningKeyRetired(last_expiry=now + policy.tail)


def _change(*changes: _KeyChange) -> Change:
    streams = [(f"signing_key-{key.kid}", key, event) for key, event in changes]
    return Change(
        events=[(stream, event) for stream, _, event in streams],
        expected={stream: key.version for stream, key, _ in streams},
    )
