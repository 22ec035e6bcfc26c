"""Loops that run beside a server, each with an owner; one that fails ends the process.

    async with running(subscription.run(), relay.run()):
        yield

A loop is not meant to return. One that does, or raises, is logged and the process asked
to stop, so that whoever watches it starts it again. Leaving cancels the loops, waits
for them, and raises what the failed one raised, so that the process does not end as if
nothing had happened.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NoReturn, ParamSpec, TypeAlias, TypeVar

import structlog

Loop: TypeAlias = Coroutine[Any, Any, None]
T = TypeVar("T")
P = ParamSpec("P")

logger = structlog.get_logger(__name__)


class LoopEnded(Exception):
    """A loop that should run as long as the process has ended by itself."""


def ask_to_stop() -> None:
    """End this process as an operator would: it drains first."""
    signal.raise_signal(signal.SIGTERM)


@asynccontextmanager
async def running(
    *loops: Loop,
    on_failure: Callable[[], None] = ask_to_stop,
) -> AsyncIterator[None]:
    """Run `loops` while the body runs; see the module."""
    failures: list[Exception] = []
    tasks = [
        asyncio.create_task(_watch(loop, failures, on_failure), name=_name_of(loop))
        for loop in loops
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if failures:
        raise failures[0]


async def in_thread(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """What `work` returns in a thread, for which a cancelled caller waits as well.

    Nothing stops a thread: to a caller that went on, it would be one more that changes
    what the caller, or whoever comes after, changes next.
    """
    running_there = asyncio.ensure_future(asyncio.to_thread(work, *arguments, **named))
    try:
        return await asyncio.shield(running_there)
    except asyncio.CancelledError:
        await asyncio.wait({running_there})
        raise


def was_cancelled() -> bool:
    """Whether somebody asked this task to end.

    A `CancelledError` alone does not say so: it also comes out of waiting for a task
    or a future that a library cancelled.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _watch(
    loop: Loop, failures: list[Exception], on_failure: Callable[[], None]
) -> None:
    name = _name_of(loop)
    try:
        await _until_it_fails(loop, name)
    except Exception as error:
        logger.exception("background loop failed", loop=name)
        failures.append(error)
        on_failure()


async def _until_it_fails(loop: Loop, name: str) -> NoReturn:
    try:
        await loop
    except asyncio.CancelledError as error:
        if was_cancelled():
            raise
        raise LoopEnded(f"{name} was cancelled from within") from error
    raise LoopEnded(f"{name} has returned")


def _name_of(loop: Loop) -> str:
    return getattr(loop, "__qualname__", type(loop).__name__)
