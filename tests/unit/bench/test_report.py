"""The table, the JSON and the chart tell the same."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.__main__ import BROKEN, MISSED, exit_status
from bench.measuring.figures import (
    Detail,
    Figure,
    Row,
    Verdict,
    broken,
    ours_at_most,
    ratio_at_least,
)
from bench.report.bars import bars_of
from bench.report.machine import Machine
from bench.report.outcome import CaseOutcome, Outcome, write_json
from bench.report.table import format_number, format_table

PASSED = Row(
    what="one token",
    mode="compiled",
    unit="req/s",
    ours=Figure.of([46_000.0, 46_100.0, 45_000.0]),
    peer="nginx",
    theirs=Figure.of([43_000.0, 43_200.0, 40_000.0]),
    target=ratio_at_least(1),
    details=(Detail("p99", 2.14, "ms"),),
)
MISSED_ROW = Row(
    what="slowest",
    unit="ms",
    ours=Figure.of([50.0]),
    target=ours_at_most(25),
)
STATED = Row(what="memory", unit="MB", ours=Figure.of([12.3456789]), note="at rest")
NO_PEER = broken("another peer", "cannot get nginx (no network)")


def outcome_of(*rows: Row) -> Outcome:
    return Outcome(
        at=datetime(2026, 1, 1, tzinfo=UTC),
        quick=False,
        rounds=3,
        machine=Machine(
            processor="a processor",
            cores=2,
            memory_gib=7.8,
            kernel="6.1",
            system="Debian",
            commit="abc",
        ),
        programs={"nginx": "1.22.1"},
        cases=[CaseOutcome(name="c", title="A case", rows=list(rows), seconds=2.04)],
    )


class TestTable:
    def test_a_row_says_what_ours_peer_ratio_target_and_verdict(self) -> None:
        lines = format_table(outcome_of(PASSED)).splitlines()

        assert lines[2] == "A case"
        assert re.split(r" {2,}", lines[3].strip()) == [
            "one token, compiled",
            "46,000 req/s",
            "nginx 43,000",
            "1.07 × (1.07-1.12)",
            "≥ 1 ×",
            "pass",
        ]
        assert lines[4].strip() == "p99 2.14 ms"

    def test_why_something_is_broken_stands_below_it(self) -> None:
        lines = format_table(outcome_of(NO_PEER)).splitlines()

        assert lines[3].split()[-1] == "BROKEN"
        assert lines[4].strip() == "cannot get nginx (no network)"

    def test_columns_stand_below_their_headings(self) -> None:
        lines = format_table(outcome_of(PASSED, MISSED_ROW)).splitlines()

        at = lines[0].index("verdict")
        assert lines[3][at:] == "pass"
        assert lines[5][at:] == "FAIL"

    def test_the_last_line_counts_the_verdicts(self) -> None:
        table = format_table(outcome_of(PASSED, MISSED_ROW, STATED, NO_PEER, PASSED))

        assert table.splitlines()[-1] == ("2 pass, 1 FAIL, 1 stated, 1 BROKEN in 2 s")

    @pytest.mark.parametrize(
        ("number", "text"),
        [(43_215.4, "43,215"), (999.6, "1,000"), (3.0712, "3.07"), (0.0123, "0.0123")],
    )
    def test_three_digits_are_enough(self, number: float, text: str) -> None:
        assert format_number(number) == text


class TestJson:
    def test_it_holds_rounds_and_what_follows_from_them(self, tmp_path: Path) -> None:
        write_json(outcome_of(PASSED), tmp_path / "x.json")
        written = json.loads((tmp_path / "x.json").read_text())

        assert written["machine"]["processor"] == "a processor"
        assert written["programs"] == {"nginx": "1.22.1"}
        assert written["cases"][0]["rows"] == [
            {
                "what": "one token",
                "mode": "compiled",
                "unit": "req/s",
                "ours": {"median": 46000.0, "rounds": [46000.0, 46100.0, 45000.0]},
                "peer": "nginx",
                "theirs": {"median": 43000.0, "rounds": [43000.0, 43200.0, 40000.0]},
                "ratio": 1.0698,
                "ratio_of_each_round": [1.0698, 1.0671, 1.125],
                "target": {"subject": "ratio", "bound": "≥", "number": 1.0},
                "verdict": "pass",
                "details": [{"name": "p99", "number": 2.14, "unit": "ms"}],
                "note": None,
            }
        ]

    def test_a_row_without_a_peer_says_so(self, tmp_path: Path) -> None:
        write_json(outcome_of(STATED), tmp_path / "x.json")
        [row] = json.loads((tmp_path / "x.json").read_text())["cases"][0]["rows"]

        assert row["ours"]["median"] == 12.346
        assert (row["theirs"], row["ratio"], row["target"]) == (None, None, None)
        assert row["verdict"] == "stated"


def test_the_chart_shows_rows_with_a_target_and_a_number() -> None:
    bars = bars_of([PASSED, MISSED_ROW, STATED, NO_PEER])

    assert [(bar.label, bar.verdict) for bar in bars] == [
        ("one token, compiled / nginx", Verdict.PASS),
        ("slowest", Verdict.FAIL),
    ]
    assert bars[1].margin == 0.5
    assert bars[1].text == "50  (≤ 25)"


@pytest.mark.parametrize(
    ("rows", "strict", "status"),
    [
        ([PASSED, STATED], True, 0),
        ([PASSED, MISSED_ROW], False, 0),
        ([PASSED, MISSED_ROW], True, MISSED),
        ([MISSED_ROW, NO_PEER], False, BROKEN),
    ],
)
def test_a_missed_target_fails_a_run_only_if_asked_a_broken_case_always(
    rows: list[Row], *, strict: bool, status: int
) -> None:
    assert exit_status(outcome_of(*rows), strict=strict) == status
