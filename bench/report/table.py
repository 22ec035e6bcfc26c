"""The table: what, ours, peer, ratio, target, verdict."""

from collections.abc import Iterable, Sequence

from bench.measuring.figures import Detail, Figure, Row, Subject, Target, Verdict
from bench.report.outcome import CaseOutcome, Outcome

HEADINGS = ("what", "ours", "peer", "ratio", "target", "verdict")
_GAP = "  "
_INDENT = "    "


def format_table(outcome: Outcome) -> str:
    """Every row under the title of its case, columns aligned over all of them."""
    cells = [HEADINGS, *(_cells(row) for row in outcome.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_line(HEADINGS, widths)]
    for case in outcome.cases:
        lines += ["", case.title]
        for row in case.rows:
            lines.append(_line(_cells(row), widths))
            lines += [_INDENT + line for line in _beside(row)]
    lines += ["", summary(outcome)]
    return "\n".join(lines)


def summary(outcome: Outcome) -> str:
    """One line on the whole run."""
    counts = ", ".join(
        f"{outcome.count(verdict)} {verdict.value}"
        for verdict in Verdict
        if outcome.count(verdict)
    )
    seconds = sum(case.seconds for case in outcome.cases)
    return f"{counts or 'nothing measured'} in {seconds:.0f} s"


def format_progress(case: CaseOutcome) -> str:
    """One line when a case is done."""
    return f"{case.name}: {len(case.rows)} rows in {case.seconds:.0f} s"


def format_target(target: Target | None) -> str:
    if target is None:
        return ""
    number = f"{target.number:g}"
    if target.subject is Subject.RATIO:
        return f"{target.bound.value} {number} ×"
    return f"{target.bound.value} {number}"


def format_number(number: float) -> str:
    """Three significant digits, or all of those before the point: 43,215 but 3.07."""
    if abs(number) >= 999.5:
        return f"{number:,.0f}"
    return f"{number:.3g}"


def _cells(row: Row) -> tuple[str, ...]:
    what = f"{row.what}, {row.mode}" if row.mode else row.what
    ratio = "" if row.ratio is None else f"{row.ratio:.3g} ×{_spread(row.ratios)}"
    unit = f" {row.unit}" if row.unit else ""
    return (
        _INDENT[:2] + what,
        "" if row.ours is None else f"{_figure(row.ours)}{unit}",
        row.peer if row.theirs is None else f"{row.peer} {_figure(row.theirs)}",
        ratio,
        format_target(row.target),
        row.verdict.value,
    )


def _figure(figure: Figure) -> str:
    return format_number(figure.median)


def _spread(ratios: Sequence[float]) -> str:
    if len(ratios) < 2:
        return ""
    return f" ({min(ratios):.3g}-{max(ratios):.3g})"


def _beside(row: Row) -> Iterable[str]:
    if row.details:
        yield ", ".join(_detail(detail) for detail in row.details)
    if row.note:
        yield row.note


def _detail(detail: Detail) -> str:
    return f"{detail.name} {format_number(detail.number)} {detail.unit}".rstrip()


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return _GAP.join(padded).rstrip()
