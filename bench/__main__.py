"""The command line: `python -m bench [CASE ...]`, or `make bench`."""

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import structlog

from bench import ROOT
from bench.cases import CASES, Case
from bench.measuring.context import Bench, open_bench
from bench.measuring.failures import CannotMeasure
from bench.measuring.figures import Verdict
from bench.report.machine import describe_machine, our_programs
from bench.report.outcome import CaseOutcome, Outcome, write_json
from bench.report.table import format_progress, format_table
from bench.running import run_cases

RESULTS = ROOT / "bench" / "results"

MISSED, BROKEN = 1, 2
"""How the process ends: a target was missed (with --strict), a case was broken."""


@click.command()
@click.argument("names", metavar="[CASE ...]", nargs=-1)
@click.option("--quick", is_flag=True, help="Less of everything: a fifth of the time.")
@click.option("--rounds", type=click.IntRange(min=1), help="Alternating rounds.")
@click.option("--strict", is_flag=True, help="Fail when a target is missed.")
@click.option("--list", "only_list", is_flag=True, help="Name the cases, run none.")
def main(
    names: tuple[str, ...],
    *,
    quick: bool,
    rounds: int | None,
    strict: bool,
    only_list: bool,
) -> None:
    """Measure every cost beside its peer, or only those of the CASEs named.

    The table goes to standard output, progress to standard error, JSON and a chart to
    bench/results: as `latest` if it was a full run of everything, else as `trial`.
    """
    cases = chosen_cases(names)
    if only_list:
        for case in cases:
            click.echo(f"{case.name:24}{case.title}")
        return
    try:
        outcome = asyncio.run(_measure(cases, quick=quick, rounds=rounds))
    except CannotMeasure as reason:
        raise click.ClickException(str(reason)) from None
    click.echo(format_table(outcome))
    is_full = cases == CASES and not quick and rounds is None
    _keep(outcome, RESULTS / ("latest" if is_full else "trial"))
    sys.exit(exit_status(outcome, strict=strict))


def chosen_cases(names: Sequence[str]) -> tuple[Case, ...]:
    """The cases named, in the order of the table; all if none is."""
    known = {case.name for case in CASES}
    unknown = sorted(set(names) - known)
    if unknown:
        raise click.BadParameter(
            f"no case {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        )
    return tuple(case for case in CASES if not names or case.name in names)


def exit_status(outcome: Outcome, *, strict: bool) -> int:
    """A timing is no test: a missed target fails the run only if that is asked for."""
    if outcome.count(Verdict.BROKEN):
        return BROKEN
    return MISSED if strict and outcome.count(Verdict.FAIL) else 0


async def _measure(
    cases: Sequence[Case], *, quick: bool, rounds: int | None
) -> Outcome:
    # What is started in this process has a voice of its own, for what goes wrong only.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    with open_bench(quick=quick, rounds=rounds, report=_report) as bench:
        finished = []
        await _leave_nothing_to_write()
        async for each in run_cases(cases, bench):
            _report(format_progress(each))
            finished.append(each)
            await _leave_nothing_to_write()
        names = [case.name for case in cases]
        finished.sort(key=lambda each: names.index(each.name))
        return _outcome_of(bench, finished)


async def _leave_nothing_to_write() -> None:
    """Else the kernel writes what was installed, or what a case left, during the next:
    it begins by itself when enough of it waits.
    """
    await asyncio.to_thread(os.sync)


def _outcome_of(bench: Bench, finished: list[CaseOutcome]) -> Outcome:
    return Outcome(
        at=datetime.now(UTC),
        quick=bench.quick,
        rounds=bench.rounds,
        machine=describe_machine(bench.cores.count),
        programs=our_programs() | bench.programs,
        cases=finished,
    )


def _keep(outcome: Outcome, stem: Path) -> None:
    from bench.report.chart import draw_chart  # noqa: PLC0415 - matplotlib takes a second

    stem.parent.mkdir(exist_ok=True)
    write_json(outcome, stem.with_suffix(".json"))
    draw_chart(outcome, [stem.with_suffix(".svg"), stem.with_suffix(".png")])


def _report(line: str) -> None:
    click.echo(f"bench: {line}", err=True)


if __name__ == "__main__":
    main(prog_name="python -m bench")
