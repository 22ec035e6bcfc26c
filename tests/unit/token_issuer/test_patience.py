"""Trouble is waited out for a while, by so many and no more."""

import asyncio
from datetime import timedelta

import pytest

from token_issuer.patience import Patience
from tollgate.errors import Unavailable

LIMIT = timedelta(seconds=5)


async def test_what_is_over_in_time_is_not_disturbed() -> None:
    patience = Patience(LIMIT)

    async with patience.hold():
        assert patience.held == 1

    assert patience.held == 0


async def test_after_the_limit_it_is_503() -> None:
    patience = Patience(timedelta(milliseconds=10))

    with pytest.raises(Unavailable):
        async with patience.hold():
            await asyncio.Event().wait()

    assert patience.held == 0


async def test_one_too_many_is_503_at_once() -> None:
    patience = Patience(LIMIT, max_held=1)

    async with patience.hold():
        with pytest.raises(Unavailable, match="too many"):
            async with patience.hold():
                raise AssertionError
        assert patience.held == 1


async def test_a_refusal_passes_through_and_frees_the_place() -> None:
    patience = Patience(LIMIT, max_held=1)

    with pytest.raises(KeyError):
        async with patience.hold():
            raise KeyError

    async with patience.hold():
        pass
