"""How far each target is met, as one picture.

The only module that needs matplotlib, so it is imported when a chart is drawn.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator

from bench.measuring.figures import Verdict
from bench.report.bars import Bar, bars_of
from bench.report.outcome import Outcome

_COLOURS = {Verdict.PASS: "#2f7d4f", Verdict.FAIL: "#b3372f"}
_INCHES_PER_BAR = 0.3
_MARGIN_INCHES = 1.6


def draw_chart(outcome: Outcome, paths: Sequence[Path]) -> None:
    """Draw the bars, once for each path; its suffix is the format."""
    bars = bars_of(outcome.rows)
    # The same run gives the same file: no random ids, no date.
    with mpl.rc_context({"svg.hashsalt": "tollgate", "svg.fonttype": "none"}):
        canvas = _draw(bars, outcome)
        for path in paths:
            metadata = {"Date": None} if path.suffix == ".svg" else None
            canvas.savefig(path, dpi=150, metadata=metadata)


def _draw(bars: Sequence[Bar], outcome: Outcome) -> Canvas:
    height = _MARGIN_INCHES + _INCHES_PER_BAR * max(len(bars), 1)
    canvas = Canvas(figsize=(13, height), layout="constrained")
    axes = canvas.add_subplot()
    axes.set_xscale("log", base=2)
    axes.axvline(1, color="black", linewidth=1)
    drawn = axes.barh(
        range(len(bars)),
        # From the line of the target, so that a miss points to the left of it.
        [bar.margin - 1 for bar in bars],
        left=1,
        color=[_COLOURS[bar.verdict] for bar in bars],
    )
    axes.bar_label(drawn, [bar.text for bar in bars], padding=4, fontsize=8)
    axes.set_yticks(range(len(bars)), [bar.label for bar in bars], fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.3)
    axes.xaxis.set_major_locator(LogLocator(base=2))
    axes.xaxis.set_major_formatter(FuncFormatter(_share_of_target))
    axes.set_title("How far each target was met: to the right of the line is better")
    axes.set_xlabel(
        f"{outcome.machine.processor}, {outcome.machine.cores} cores, "
        f"{outcome.machine.kernel}; {outcome.at:%Y-%m-%d}, {outcome.machine.commit}"
    )
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return canvas


def _share_of_target(margin: float, _: int) -> str:
    return "target" if margin == 1 else f"{margin:g} ×"
