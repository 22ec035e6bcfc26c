"""A test that waits goes on as soon as it may, and ends when it never may."""

import asyncio
from itertools import count

import pytest

from tollgate.testing.waiting import until


async def test_it_returns_the_first_answer_that_is_true() -> None:
    answers = iter((0, None, "", "yes", "never asked for"))
    assert await until(lambda: next(answers)) == "yes"
    assert next(answers) == "never asked for"


async def test_it_awaits_a_condition_that_has_to_ask() -> None:
    numbers = count()

    async def third() -> int | None:
        await asyncio.sleep(0)
        number = next(numbers)
        return number if number == 2 else None

    assert await until(third) == 2


async def test_what_never_holds_ends_it_and_shows_where_the_others_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def wait_in_vain() -> None:
        await asyncio.Event().wait()

    other = asyncio.create_task(wait_in_vain())
    with pytest.raises(TimeoutError):
        await until(lambda: False, within=0.01)
    assert "in wait_in_vain" in capsys.readouterr().err
    other.cancel()
