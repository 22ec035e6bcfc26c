"""What is read from proc(5)."""

from pathlib import Path

import pytest

from bench.measuring.figures import stood_still
from bench.measuring.processes import share_stolen, stolen_seconds

STAT = """\
cpu  11 12 13 14 15 16 17 350 18 19
cpu0 1 2 3 4 5 6 7 100 8 9
cpu1 10 10 10 10 10 10 10 250 10 10
"""


def test_what_was_stolen_is_counted_over_all_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = tmp_path / "stat"
    stat.write_text(STAT)
    monkeypatch.setattr("bench.measuring.processes._TICK", 0.01)

    assert stolen_seconds(stat) == pytest.approx(3.5)


def test_this_machine_says_what_was_stolen() -> None:
    assert stolen_seconds() >= 0


def test_the_share_is_of_the_time_of_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)

    assert share_stolen(0.6, elapsed=3.0) == pytest.approx(0.05)


def test_a_row_tells_the_median_of_its_rounds_in_percent() -> None:
    detail = stood_still([0.01, 0.5, 0.03])

    assert (detail.number, detail.unit) == (pytest.approx(3.0), "%")
