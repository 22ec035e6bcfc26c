"""What a run gave, as it is kept in JSON."""

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from bench.measuring.figures import Figure, Row, Verdict
from bench.report.machine import Machine


class CaseOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one case, and how long it took."""

    name: str
    title: str
    rows: list[Row]
    seconds: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `programs` are versions by name, of ours and of the peers."""

    at: datetime
    quick: bool
    rounds: int
    machine: Machine
    programs: dict[str, str]
    cases: list[CaseOutcome]

    @property
    def rows(self) -> list[Row]:
        return [row for case in self.cases for row in case.rows]

    def count(self, verdict: Verdict) -> int:
        return sum(row.verdict is verdict for row in self.rows)


def write_json(outcome: Outcome, path: Path) -> None:
    """Rows are written with what follows from them: medians, ratio and verdict."""
    builtins = msgspec.to_builtins(outcome)
    builtins["cases"] = [
        {
            "name": case.name,
            "title": case.title,
            "seconds": round(case.seconds, 1),
            "rows": [row_as_json(row) for row in case.rows],
        }
        for case in outcome.cases
    ]
    encoded = msgspec.json.format(msgspec.json.encode(builtins), indent=2)
    path.write_bytes(encoded + b"\n")


def row_as_json(row: Row) -> dict[str, Any]:
    """Numbers with five digits at most: nobody measures better than that here."""
    return {
        "what": row.what,
        "mode": row.mode or None,
        "unit": row.unit or None,
        "ours": _figure_as_json(row.ours),
        "peer": row.peer or None,
        "theirs": _figure_as_json(row.theirs),
        "ratio": _rounded(row.ratio),
        "ratio_of_each_round": [_rounded(ratio) for ratio in row.ratios],
        "target": msgspec.to_builtins(row.target),
        "verdict": row.verdict.value,
        "details": [
            {**msgspec.to_builtins(detail), "number": _rounded(detail.number)}
            for detail in row.details
        ],
        "note": row.note or None,
    }


def _figure_as_json(figure: Figure | None) -> dict[str, Any] | None:
    if figure is None:
        return None
    return {
        "median": _rounded(figure.median),
        "rounds": [_rounded(number) for number in figure.rounds],
    }


def _rounded(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.5g}")
