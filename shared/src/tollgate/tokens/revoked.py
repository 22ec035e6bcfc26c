"""Which single tokens are revoked: a million of them in little memory.

A revocation costs one text, which names app and token, an entry of a set and one of a
list. That set is asked at every request, and nearly always has not got what is asked
for: unlike a dict it mostly says so after one look into memory.

Expiries are kept by the minute in which they fall due, rounded up, so that a revocation
is kept up to a minute longer than it must be and never shorter.
"""

import heapq
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

FORGET_AFTER = timedelta(minutes=10)
"""How long after its expiry a revocation is kept: more than any accepted leeway."""

_FORGET_AFTER = FORGET_AFTER.total_seconds()

MINUTE = 60
_MINUTES_OF_A_DAY = 24 * 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def name_of(client_id: str, jti: str) -> str:
    """One text for the token of an app: no id of an app holds a space."""
    return f"{client_id} {jti}"


class DueTokens(msgspec.Struct, frozen=True, array_like=True, tag="due", gc=False):
    """Names of revoked tokens that have expired by the end of `minute` of the epoch."""

    minute: int
    names: list[str]


class RevokedTokens:
    """Tokens by app and `jti`, each until the latest expiry that was told of it.

    `names` are theirs, as `name_of` makes them. Nothing is to be forgotten up to
    `due_at`, in seconds since the epoch.
    """

    __slots__ = ("_due", "_minutes", "_repeated", "due_at", "names")

    def __init__(self) -> None:
        self.due_at = math.inf
        self.names: set[str] = set()
        self._due: dict[int, list[str]] = {}
        self._minutes: list[int] = []  # a heap of the keys of `_due`
        # How often more than once a name stands in `_due`: nearly always never.
        self._repeated: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.names)

    def holds(self, client_id: str, jti: str) -> bool:
        """Whether that token of that app is revoked, and not yet forgotten."""
        return name_of(client_id, jti) in self.names

    def add(self, client_id: str, jti: str, expires_at: datetime) -> None:
        """Revoke a token until `expires_at` and a while longer."""
        left = _EPOCH - expires_at  # negative: rounded down it is the minute up
        minute = -(left.days * _MINUTES_OF_A_DAY + left.seconds // MINUTE)
        due = self._due.get(minute)
        if due is None:
            due = self._begin(minute)
        name = f"{client_id} {jti}"
        if name in self.names:
            self._repeated[name] = self._repeated.get(name, 0) + 1
        else:
            self.names.add(name)
        due.append(name)

    def forget(self, now: float) -> None:
        """Drop what has been of no use for `FORGET_AFTER` at `now` in log time.

        In seconds since the epoch, like everything here.
        """
        if now <= self.due_at:
            return
        minutes = self._minutes
        oldest_kept = now - _FORGET_AFTER
        while minutes and minutes[0] * MINUTE < oldest_kept:
            due = self._due.pop(heapq.heappop(minutes))
            if self._repeated:
                due = self._without_repeated(due)
            self.names.difference_update(due)
        self._note_what_is_due()

    def entries(self) -> Iterator[DueTokens]:
        """All that `restore` needs to make the same again, soonest due first."""
        for minute in sorted(self._due):
            yield DueTokens(minute, self._due[minute])

    def restore(self, entry: DueTokens) -> None:
        """Take back one of the `entries` of another."""
        due = self._due.get(entry.minute)
        if due is None:
            due = self._begin(entry.minute)
        for name in entry.names:
            if name in self.names:
                self._repeated[name] = self._repeated.get(name, 0) + 1
            else:
                self.names.add(name)
        due.extend(entry.names)

    def _begin(self, minute: int) -> list[str]:
        due = self._due[minute] = []
        heapq.heappush(self._minutes, minute)
        self._note_what_is_due()
        return due

    def _note_what_is_due(self) -> None:
        first = self._minutes[0] * MINUTE if self._minutes else math.inf
        self.due_at = first + _FORGET_AFTER

    def _without_repeated(self, due: list[str]) -> list[str]:
        """Those of `due` that do not fall due once more."""
        over = []
        for name in due:
            more = self._repeated.pop(name, 0)
            if more == 0:
                over.append(name)
            elif more > 1:
                self._repeated[name] = more - 1
        return over
