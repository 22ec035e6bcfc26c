"""Waiting in tests: for a condition, with a deadline, and never for a time."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

PATIENCE = 40.0
"""Seconds for whatever should come true by itself, servers starting included."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.02

HeldT = TypeVar("HeldT")


@overload
async def until(
    condition: Callable[[], Awaitable[HeldT | None]], *, within: float = PATIENCE
) -> HeldT: ...
@overload
async def until(
    condition: Callable[[], HeldT | None], *, within: float = PATIENCE
) -> HeldT: ...
async def until(condition: Callable[[], object], *, within: float = PATIENCE) -> object:
    """Ask again and again until the answer is true, and return it.

    Raises `TimeoutError` after so many seconds, having printed where other tasks are.
    """
    pause = _FIRST_PAUSE
    try:
        async with asyncio.timeout(within):
            while True:
                answer = condition()
                if inspect.isawaitable(answer):
                    answer = await answer
                if answer:
                    return answer
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
    except TimeoutError:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.print_stack()  # what everybody was waiting for instead
        raise
