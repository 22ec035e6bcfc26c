"""Runs the cases one after another; what one cannot do stops none of the others."""

import time
import traceback
from collections.abc import AsyncIterator, Sequence

from bench.cases import Case
from bench.measuring.context import Bench
from bench.measuring.failures import rows_or_reason
from bench.measuring.figures import Row, broken
from bench.report.outcome import CaseOutcome


async def run_cases(cases: Sequence[Case], bench: Bench) -> AsyncIterator[CaseOutcome]:
    """The outcome of each case, as soon as it is there.

    Those with a limit on a time go first. A ratio is the same on a slower machine and a
    time is not, and a virtual machine becomes slower when it has had much to do.
    """
    shares = ""
    try:
        for case in sorted(cases, key=lambda case: not case.has_limits):
            if case.shares != shares:
                await bench.close_shared()
                shares = case.shares
            started = time.monotonic()
            rows = await _rows_of(case, bench)
            yield CaseOutcome(
                name=case.name,
                title=case.title,
                rows=rows,
                seconds=time.monotonic() - started,
            )
    finally:
        await bench.close_shared()


async def _rows_of(case: Case, bench: Bench) -> list[Row]:
    try:
        return await rows_or_reason(case.title, case.run(bench))
    except Exception as error:  # noqa: BLE001 - a fault of one case; the others count
        bench.report(traceback.format_exc())
        return [broken(case.title, f"{type(error).__name__}: {error}")]
