"""Work of one kind, done for everybody in one go."""

import asyncio

import pytest

from token_issuer.bursts import Burst


async def test_each_gets_what_its_own_work_returns() -> None:
    burst = Burst()

    results = await asyncio.gather(*(burst.run(pow, n, 2) for n in range(5)))

    assert results == [0, 1, 4, 9, 16]


async def test_who_asks_at_the_same_time_is_served_in_a_row() -> None:
    burst, done = Burst(), []

    async def ask(name: str) -> None:
        await burst.run(done.append, f"work of {name}")
        done.append(f"rest of {name}")

    await asyncio.gather(ask("a"), ask("b"))

    assert done == ["work of a", "work of b", "rest of a", "rest of b"]


async def test_what_fails_fails_for_its_own_caller_only() -> None:
    burst = Burst()

    bad, good = await asyncio.gather(
        burst.run(int, "x"), burst.run(int, "1"), return_exceptions=True
    )

    assert isinstance(bad, ValueError)
    assert good == 1


async def test_nothing_is_done_for_who_left() -> None:
    burst, done = Burst(), []
    leaving = asyncio.create_task(burst.run(done.append, "a"))
    staying = asyncio.create_task(burst.run(done.append, "b"))
    await asyncio.sleep(0)

    leaving.cancel()
    await staying

    assert done == ["b"]
    with pytest.raises(asyncio.CancelledError):
        await leaving
