"""What several rounds gave, and what that says beside a peer and a target."""

from collections.abc import Iterable
from enum import StrEnum
from statistics import median

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """One number a round, in the unit of its row."""

    rounds: tuple[float, ...]

    @classmethod
    def of(cls, numbers: Iterable[float]) -> "Figure":
        rounds = tuple(numbers)
        if not rounds:
            raise ValueError("a figure needs at least one round")
        return cls(rounds)

    @property
    def median(self) -> float:
        return median(self.rounds)

    @property
    def low(self) -> float:
        return min(self.rounds)

    @property
    def high(self) -> float:
        return max(self.rounds)


class Subject(StrEnum):
    """What a target is about."""

    RATIO = "ratio"
    OURS = "ours"


class Bound(StrEnum):
    AT_LEAST = "≥"
    AT_MOST = "≤"


class Target(msgspec.Struct, frozen=True):
    """A bound on the ratio to the peer, or on our own number in the row's unit."""

    subject: Subject
    bound: Bound
    number: float

    def is_met_by(self, reached: float) -> bool:
        if self.bound is Bound.AT_LEAST:
            return reached >= self.number
        return reached <= self.number

    def margin(self, reached: float) -> float:
        """How far beyond the target: 1 is just met, more is better, less is missed."""
        if self.bound is Bound.AT_LEAST:
            return reached / self.number
        return self.number / reached


def ratio_at_least(number: float) -> Target:
    return Target(Subject.RATIO, Bound.AT_LEAST, number)


def ratio_at_most(number: float) -> Target:
    return Target(Subject.RATIO, Bound.AT_MOST, number)


def ours_at_least(number: float) -> Target:
    return Target(Subject.OURS, Bound.AT_LEAST, number)


def ours_at_most(number: float) -> Target:
    return Target(Subject.OURS, Bound.AT_MOST, number)


class Verdict(StrEnum):
    """What the table says at the end of a row."""

    PASS = "pass"
    FAIL = "FAIL"
    STATED = "stated"  # there is no target, or only for the other mode
    NOT_HERE = "not here"  # this machine is too small for it
    BROKEN = "BROKEN"  # it could not be measured, and should have been


class Detail(msgspec.Struct, frozen=True):
    """A number that belongs to a row beside its ratio: `Detail("p99", 3.1, "ms")`."""

    name: str
    number: float
    unit: str


def stood_still(shares: Iterable[float]) -> Detail:
    """Beside a p99: the part of each round in which the machine's cores did nothing."""
    return Detail("cores stood still", median(shares) * 100, "%")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    `mode` tells apart rows for the same thing that have targets of their own
    (interpreted, compiled). Ours and the peer's rounds belong together in pairs.
    """

    what: str
    unit: str = ""
    mode: str = ""
    ours: Figure | None = None
    peer: str = ""
    theirs: Figure | None = None
    target: Target | None = None
    details: tuple[Detail, ...] = ()
    note: str = ""
    not_here: bool = False  # `note` says what this machine lacks
    broken: bool = False  # `note` says why

    @property
    def ratio(self) -> float | None:
        """Median over median, so that it can be checked with the columns beside it."""
        if self.ours is None or self.theirs is None or not self.theirs.median:
            return None
        return self.ours.median / self.theirs.median

    @property
    def ratios(self) -> tuple[float, ...]:
        """The ratio of each pair of rounds: how steady it was."""
        if self.ours is None or self.theirs is None:
            return ()
        pairs = zip(self.ours.rounds, self.theirs.rounds, strict=False)
        return tuple(ours / theirs for ours, theirs in pairs if theirs)

    @property
    def reached(self) -> float | None:
        """The number that the target is about."""
        if self.target is None:
            return None
        if self.target.subject is Subject.RATIO:
            return self.ratio
        return None if self.ours is None else self.ours.median

    @property
    def verdict(self) -> Verdict:
        if self.broken:
            return Verdict.BROKEN
        if self.not_here:
            return Verdict.NOT_HERE
        if self.target is None:
            return Verdict.STATED
        if self.reached is None:
            return Verdict.BROKEN  # a target without a number is no pass
        return Verdict.PASS if self.target.is_met_by(self.reached) else Verdict.FAIL


def broken(what: str, why: str, *, mode: str = "") -> Row:
    """A row for what could not be measured: it fails the run."""
    return Row(what=what, mode=mode, note=why, broken=True)


def not_here(what: str, why: str, *, mode: str = "") -> Row:
    """A row for what this machine is too small for: it fails nothing."""
    return Row(what=what, mode=mode, note=why, not_here=True)
