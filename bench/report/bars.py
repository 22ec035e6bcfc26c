"""What the chart shows: each target, and how far beyond it we are."""

from collections.abc import Sequence
from typing import NamedTuple

from bench.measuring.figures import Row, Verdict
from bench.report.table import format_number, format_target


class Bar(NamedTuple):
    """`margin` is how far beyond its target a row is: 1 is just met."""

    label: str
    margin: float
    text: str
    verdict: Verdict


def bars_of(rows: Sequence[Row]) -> list[Bar]:
    """Every row that has a target and a number."""
    return [
        Bar(
            label=_label(row),
            margin=row.target.margin(row.reached),
            text=f"{format_number(row.reached)}  ({format_target(row.target)})",
            verdict=row.verdict,
        )
        for row in rows
        if row.target is not None and row.reached
    ]


def _label(row: Row) -> str:
    named = ", ".join(part for part in (row.what, row.mode) if part)
    return f"{named} / {row.peer}" if row.peer else named
