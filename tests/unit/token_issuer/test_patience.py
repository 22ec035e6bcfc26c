"""Trouble is waited out for a while, by so many and no more."""

import asyncio
from datetime import timedelta

import pytest

from token_issuer.patience import Patience
from tollgate.errors import Unavailable

LIMIT = timedelta(seconds=5)


async def test_what_is_over_in_time_is_not_disturbed() -> None:
    patience = Patience(LIMIT)

    with patience.hold():
        assert patience.held == 1

    assert patience.held == 0


async def test_after_the_limit_it_is_503() -> None:
    patience = Patience(timedelta(milliseconds=10))

    with pytest.raises(Unavailable), patience.hold():
        await asyncio.Event().wait()

    assert patience.held == 0


async def test_one_too_many_is_503_at_once() -> None:
    patience = Patience(LIMIT, max_held=1)

    with patience.hold():
        with pytest.raises(Unavailable, match="too many"), patience.hold():
            raise AssertionError
        assert patience.held == 1


async def test_a_refusal_passes_through_and_frees_the_place() -> None:
    patience = Patience(LIMIT, max_held=1)

    with pytest.raises(KeyError), patience.hold():
        raise KeyError

    with patience.hold():
        pass


async def test_each_is_given_as_long_as_the_others() -> None:
    patience, ended = Patience(timedelta(milliseconds=50)), []

    async def wait(name: str) -> None:
        with pytest.raises(Unavailable), patience.hold():
            await asyncio.Event().wait()
        ended.append(name)

    first = asyncio.create_task(wait("first"))
    await asyncio.sleep(0)
    with patience.hold():
        pass  # comes and goes meanwhile
    second = asyncio.create_task(wait("second"))
    await asyncio.gather(first, second)
    await wait("third")

    assert ended == ["first", "second", "third"]
    assert patience.held == 0


async def test_who_is_cancelled_from_outside_stays_cancelled() -> None:
    patience = Patience(LIMIT)

    async def wait() -> None:
        with patience.hold():
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert patience.held == 0
