"""Loops beside a server: each has an owner, and none fails in silence."""

import asyncio
import signal

import pytest

from tollgate.background import Loop, LoopEnded, ask_to_stop, running


class Stops:
    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def __call__(self) -> None:
        self.asked.set()


async def forever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("forever")


async def failing() -> None:
    raise RuntimeError("broken")


async def returning() -> None:
    return


async def run_until_asked(stops: Stops, *loops: Loop) -> None:
    async with running(*loops, on_failure=stops), asyncio.timeout(5):
        await stops.asked.wait()


async def test_loops_end_with_the_body() -> None:
    ended: list[str] = []
    stops = Stops()
    async with running(forever(ended), forever(ended), on_failure=stops):
        await asyncio.sleep(0)
    assert ended == ["forever", "forever"]
    assert not stops.asked.is_set()
    assert len(asyncio.all_tasks()) == 1


async def test_a_loop_that_fails_stops_the_process_and_is_raised() -> None:
    ended: list[str] = []
    stops = Stops()
    with pytest.raises(RuntimeError, match="broken"):
        await run_until_asked(stops, failing(), forever(ended))
    assert ended == ["forever"]


async def test_a_loop_that_returns_has_failed() -> None:
    stops = Stops()
    with pytest.raises(LoopEnded):
        await run_until_asked(stops, returning())


async def test_a_loop_that_a_library_cancelled_has_failed() -> None:
    """It must not look as if we had ended it: nobody would start it again."""

    async def waiting_for_what_is_cancelled() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    stops = Stops()
    with pytest.raises(LoopEnded, match="from within"):
        await run_until_asked(stops, waiting_for_what_is_cancelled())


def test_the_process_is_asked_to_stop_as_an_operator_would() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        ask_to_stop()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]
