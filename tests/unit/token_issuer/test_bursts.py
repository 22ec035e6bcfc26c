"""Steps that are taken for everybody in one go, a lot at a time."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from token_issuer.bursts import Arrivals, Burst, ForAll
from tollgate.testing.waiting import PATIENCE


class Asked:
    """Somebody's work, which notes what is done for it."""

    def __init__(self, name: str, story: list[str]) -> None:
        self.name = name
        self.story = story
        self.done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def note(self, step: str) -> None:
        self.story.append(f"{step} {self.name}")


def first(work: Asked) -> None:
    work.note("first")


def fail_for_bad(work: Asked) -> None:
    if work.name == "bad":
        raise KeyError(work.name)


def last(work: Asked) -> None:
    work.note("last")
    work.done.set_result(work.name)


async def test_a_step_is_taken_for_all_before_the_next() -> None:
    story: list[str] = []
    burst = Burst(first, last)
    asked = [Asked(name, story) for name in "ab"]

    for each in asked:
        burst.take(each)
    assert story == []
    results = await asyncio.gather(*(each.done for each in asked))

    assert results == ["a", "b"]
    assert story == ["first a", "first b", "last a", "last b"]


async def test_a_lot_is_through_before_the_next_begins() -> None:
    story: list[str] = []
    burst = Burst(first, last, lot=2)
    asked = [Asked(name, story) for name in "abc"]

    for each in asked:
        burst.take(each)
    # What the first lot set going comes before the second.
    asked[0].done.add_done_callback(lambda _: story.append("a was told"))
    await asyncio.gather(*(each.done for each in asked))

    assert story == [
        *("first a", "first b", "last a", "last b"),
        "a was told",
        *("first c", "last c"),
    ]


async def test_who_comes_while_lots_are_left_is_served_after_them() -> None:
    story: list[str] = []
    burst = Burst(first, last, lot=1)
    a, b, late = (Asked(name, story) for name in ("a", "b", "late"))

    burst.take(a)
    burst.take(b)
    await a.done
    burst.take(late)
    await asyncio.gather(b.done, late.done)

    assert [line for line in story if line.startswith("last")] == [
        "last a",
        "last b",
        "last late",
    ]


async def test_what_fails_fails_for_its_own_work_only() -> None:
    story: list[str] = []
    burst = Burst(first, fail_for_bad, last)
    bad, good = Asked("bad", story), Asked("good", story)

    burst.take(bad)
    burst.take(good)

    assert await good.done == "good"
    with pytest.raises(KeyError):
        await bad.done
    assert "last bad" not in story


async def test_nothing_is_done_for_who_left() -> None:
    story: list[str] = []
    burst = Burst(first, last)
    leaving, staying = Asked("leaving", story), Asked("staying", story)

    burst.take(leaving)
    burst.take(staying)
    leaving.done.cancel()
    await staying.done

    assert story == ["first staying", "last staying"]


class TestAStepForAll:
    async def test_is_taken_once_for_those_who_came_so_far(self) -> None:
        story: list[str] = []

        def together(works: Sequence[Asked]) -> None:
            story.append("together " + " ".join(work.name for work in works))

        burst = Burst(first, fail_for_bad, ForAll(together), last, lot=3)
        asked = [Asked(name, story) for name in ("a", "bad", "b", "c")]
        for each in asked:
            burst.take(each)
        await asyncio.gather(*(each.done for each in asked), return_exceptions=True)

        assert [line for line in story if line.startswith("together")] == [
            "together a b",
            "together c",
        ]

    async def test_ends_with_what_it_raises_the_work_of_all(self) -> None:
        story: list[str] = []

        def fail(_: Sequence[Asked]) -> None:
            raise LookupError

        burst = Burst(first, ForAll(fail), last, lot=2)
        asked = [Asked(name, story) for name in "ab"]
        for each in asked:
            burst.take(each)
        results = await asyncio.gather(
            *(each.done for each in asked), return_exceptions=True
        )

        assert [type(result) for result in results] == [LookupError, LookupError]
        assert story == ["first a", "first b"]

    async def test_is_not_taken_for_nobody(self) -> None:
        story: list[str] = []

        def together(_: Sequence[Asked]) -> None:
            story.append("together")

        burst = Burst(fail_for_bad, ForAll(together), last)
        bad = Asked("bad", story)
        burst.take(bad)
        with pytest.raises(KeyError):
            await bad.done

        assert story == []


class TestArrivals:
    async def test_are_taken_when_a_turn_has_brought_nobody_more(self) -> None:
        taken: list[list[str]] = []
        arrivals = Arrivals[str](taken.append)

        for name in "abc":
            arrivals.add(name)
            await asyncio.sleep(0)  # a turn of the loop
        assert taken == []
        await turns_until(lambda: bool(taken))

        assert taken == [["a", "b", "c"]]

    async def test_are_not_waited_for_once_they_are_enough(self) -> None:
        taken: list[list[str]] = []
        arrivals = Arrivals[str](taken.append, enough=3)

        for name in "abcdefg":
            arrivals.add(name)
            await asyncio.sleep(0)
        await turns_until(lambda: "g" in taken[-1])

        assert taken == [["a", "b", "c"], ["d", "e", "f"], ["g"]]

    async def test_of_which_there_is_one_is_taken(self) -> None:
        taken: list[list[str]] = []
        arrivals = Arrivals[str](taken.append)

        arrivals.add("a")
        await turns_until(lambda: bool(taken))
        arrivals.add("b")
        await turns_until(lambda: len(taken) > 1)

        assert taken == [["a"], ["b"]]


async def turns_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0)
