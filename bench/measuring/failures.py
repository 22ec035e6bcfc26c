"""Why a number cannot be had."""

from collections.abc import Awaitable

from bench.measuring.figures import Row, broken
from local_stack.failures import CannotStart


class CannotMeasure(Exception):
    """A peer that does not run, or an answer that is wrong; the text says it all."""


async def rows_or_reason(what: str, measuring: Awaitable[list[Row]]) -> list[Row]:
    """The rows, or one that says why there are none."""
    try:
        return await measuring
    except (CannotMeasure, CannotStart) as reason:
        return [broken(what, str(reason))]
