"""Which single tokens are revoked: a million of them in little memory.

A revocation costs one text, which names app and token, an entry of a set and one of a
list. That set is asked at every request, and nearly always has not got what is asked
for: unlike a dict it mostly says so after one look into memory.

Expiries are kept by the five minutes in which they fall due, rounded up, so that a
revocation is kept up to that much longer than it must be and never shorter. So some
thousands at most are forgotten at once, and not one by one.
"""

import heapq
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from tollgate.events.tokens import TokenRevoked

FORGET_AFTER = timedelta(minutes=10)
"""How long after its expiry a revocation is kept: more than any accepted leeway."""

MAX_LATEST = 1_000
"""Names of `RevokedTokens.latest`: so few that the nearest caches hold them."""

_FORGET_AFTER = FORGET_AFTER.total_seconds()

PERIOD = 5 * 60
"""Seconds for which expiries are kept together."""

_PERIODS_OF_A_DAY = 24 * 60 * 60 // PERIOD
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def name_of(client_id: str, jti: str) -> str:
    """One text for the token of an app: no id of an app holds a space."""
    return f"{client_id} {jti}"


class DueTokens(msgspec.Struct, frozen=True, array_like=True, tag="due", gc=False):
    """Names of revoked tokens, expired when `period` periods of the epoch are over."""

    period: int
    names: list[str]


class RevokedTokens:
    """Tokens by app and `jti`, each until the latest expiry that was told of it.

    `names` are theirs, as `name_of` makes them. Who is not among them is revoked later
    only if its name is in `latest`, for as long as that is the same set: it has what
    was added since it began, and another one is begun when it is full.
    Nothing is to be forgotten up to `due_at`, in seconds since the epoch. What expires
    before all that is kept is not added: it would be forgotten at once.
    """

    __slots__ = (
        "_due",
        "_max_latest",
        "_over_at",
        "_periods",
        "_repeated",
        "due_at",
        "latest",
        "names",
    )

    def __init__(self, max_latest: int = MAX_LATEST) -> None:
        self._max_latest = max_latest
        self.due_at = -math.inf
        self._over_at = _LONG_AGO  # whatever expires up to then is of no use any more
        self.names: set[str] = set()
        self.latest: set[str] = set()
        self._due: dict[int, list[str]] = {}
        self._periods: list[int] = []  # a heap of the keys of `_due`
        # How often more than once a name stands in `_due`: nearly always never.
        self._repeated: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.names)

    def holds(self, client_id: str, jti: str) -> bool:
        """Whether that token of that app is revoked, and not yet forgotten."""
        return name_of(client_id, jti) in self.names

    def add(self, tokens: Iterable[tuple[str, TokenRevoked]]) -> None:
        """Revoke tokens of apps, each until it expires and a while longer."""
        due_in, over_at, names = self._due.get, self._over_at, []
        for client_id, token in tokens:
            expires_at = token.expires_at
            if expires_at <= over_at:
                continue
            left = _EPOCH - expires_at  # negative: rounded down it is the period up
            period = -(left.days * _PERIODS_OF_A_DAY + left.seconds // PERIOD)
            due = due_in(period)
            if due is None:
                due = self._begin(period)
            name = f"{client_id} {token.jti}"
            names.append(name)
            due.append(name)
        self._add_names(names)

    def _add_names(self, names: list[str]) -> None:
        """Add what has been put where it falls due; nearly always all of it is new."""
        held = self.names
        if len(self.latest) + len(names) > self._max_latest:
            self.latest.clear()  # whoever holds the set need not hold the names
            self.latest = set()
        else:
            self.latest.update(names)
        if held.isdisjoint(names):
            before = len(held)
            held.update(names)
            if len(held) - before == len(names):
                return
            held.difference_update(names)  # one of them stands there twice
        for name in names:
            if name in held:
                self._repeated[name] = self._repeated.get(name, 0) + 1
            else:
                held.add(name)

    def forget(self, now: float) -> None:
        """Drop what has been of no use for `FORGET_AFTER` at `now` in log time.

        In seconds since the epoch, like everything here.
        """
        if now <= self.due_at:
            return
        periods = self._periods
        last_over = math.ceil((now - _FORGET_AFTER) / PERIOD) - 1
        while periods and periods[0] <= last_over:
            due = self._due.pop(heapq.heappop(periods))
            if self._repeated:
                due = self._without_repeated(due)
            self.names.difference_update(due)
        self._over_at = _EPOCH + timedelta(seconds=last_over * PERIOD)
        self._note_what_is_due()

    def entries(self) -> Iterator[DueTokens]:
        """All that `restore` needs to make the same again, soonest due first."""
        for period in sorted(self._due):
            yield DueTokens(period, self._due[period])

    def restore(self, entry: DueTokens) -> None:
        """Take back one of the `entries` of another."""
        due = self._due.get(entry.period)
        if due is None:
            due = self._begin(entry.period)
        due.extend(entry.names)
        self._add_names(entry.names)

    def _begin(self, period: int) -> list[str]:
        due = self._due[period] = []
        heapq.heappush(self._periods, period)
        self._note_what_is_due()
        return due

    def _note_what_is_due(self) -> None:
        first = self._periods[0] * PERIOD if self._periods else math.inf
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
