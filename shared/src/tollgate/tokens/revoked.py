"""Which single tokens are revoked: a million of them in little memory.

A revocation costs its `jti`, one entry of a dict and one of a list. Apps are shared
strings, and expiries are kept by the minute in which they fall due, rounded up, so that
a revocation is kept up to a minute longer than it must be and never shorter.
"""

import heapq
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from sys import intern

import msgspec

FORGET_AFTER = timedelta(minutes=10)
"""How long after its expiry a revocation is kept: more than any accepted leeway."""

_FORGET_AFTER = FORGET_AFTER.total_seconds()

MINUTE = 60
_MINUTES_OF_A_DAY = 24 * 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DueTokens(msgspec.Struct, frozen=True, array_like=True, tag="due", gc=False):
    """Revocations whose tokens have expired by the end of `minute` of the epoch.

    The token `jtis[n]` is one of the app `client_ids[n]`.
    """

    minute: int
    jtis: list[str]
    client_ids: list[str]


class RepeatedToken(
    msgspec.Struct, frozen=True, array_like=True, tag="repeated", gc=False
):
    """A further revocation with a `jti` that is in a `DueTokens` already."""

    minute: int
    jti: str
    client_id: str


class RevokedTokens:
    """Tokens by `jti` and app, each until the latest expiry that was told of it.

    Nothing is to be forgotten up to `due_at`, in seconds since the epoch.
    """

    __slots__ = ("_client_of", "_due", "_minutes", "_repeated", "due_at")

    def __init__(self) -> None:
        self.due_at = math.inf
        self._client_of: dict[str, str] = {}
        self._due: dict[int, list[str]] = {}
        self._minutes: list[int] = []  # a heap of the keys of `_due`
        # Who mints tokens never gives a `jti` twice, so this stays empty, but for
        # tokens that are revoked again, or a log that says what ours never would.
        self._repeated: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        return len(self._client_of) + len(self._repeated)

    def holds(self, client_id: str, jti: str) -> bool:
        """Whether that token of that app is revoked, and not yet forgotten."""
        if self._client_of.get(jti) == client_id:
            return True
        return bool(self._repeated) and (client_id, jti) in self._repeated

    def add(self, client_id: str, jti: str, expires_at: datetime) -> None:
        """Revoke a token; `client_id` is kept: let it be one string for each app."""
        left = _EPOCH - expires_at  # negative: rounded down it is the minute up
        minute = -(left.days * _MINUTES_OF_A_DAY + left.seconds // MINUTE)
        if jti in self._client_of:
            self._repeat(client_id, jti, minute)
        else:
            self._client_of[jti] = client_id
            self._due_in(minute).append(jti)

    def forget(self, now: float) -> None:
        """Drop what has been of no use for `FORGET_AFTER` at `now` in log time.

        In seconds since the epoch, like everything here.
        """
        if now <= self.due_at:
            return
        minutes = self._minutes
        oldest_kept = now - _FORGET_AFTER
        while minutes and minutes[0] * MINUTE < oldest_kept:
            for jti in self._due.pop(heapq.heappop(minutes)):
                del self._client_of[jti]
        self._repeated = {
            token: minute
            for token, minute in self._repeated.items()
            if minute * MINUTE >= oldest_kept
        }
        self._note_what_is_due()

    def entries(self) -> Iterator[DueTokens | RepeatedToken]:
        """All that `of` needs to make the same again, soonest due first."""
        for minute in sorted(self._due):
            if jtis := self._due[minute]:
                yield DueTokens(minute, jtis, [self._client_of[jti] for jti in jtis])
        for (client_id, jti), minute in self._repeated.items():
            yield RepeatedToken(minute, jti, client_id)

    def restore(self, entry: DueTokens | RepeatedToken) -> None:
        """Take back one of the `entries` of another, whose parts it has all."""
        if isinstance(entry, RepeatedToken):
            self._repeat(entry.client_id, entry.jti, entry.minute)
        elif len(entry.jtis) != len(entry.client_ids):
            raise ValueError("as many apps as tokens were expected")
        else:
            clients = map(intern, entry.client_ids)
            self._client_of.update(zip(entry.jtis, clients, strict=True))
            self._due_in(entry.minute).extend(entry.jtis)

    def _due_in(self, minute: int) -> list[str]:
        due = self._due.get(minute)
        if due is None:
            due = self._due[minute] = []
            heapq.heappush(self._minutes, minute)
            self._note_what_is_due()
        return due

    def _note_what_is_due(self) -> None:
        first = self._minutes[0] * MINUTE if self._minutes else math.inf
        self.due_at = first + _FORGET_AFTER

    def _repeat(self, client_id: str, jti: str, minute: int) -> None:
        token = (client_id, jti)
        self._repeated[token] = max(minute, self._repeated.get(token, minute))
        self._due_in(minute)  # so that it is looked at when it falls due
