"""Cases run one after another, in turns, on cores of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click
import pytest

from bench.__main__ import chosen_cases
from bench.cases import CASES, Case
from bench.measuring.context import Bench
from bench.measuring.cores import Cores
from bench.measuring.failures import CannotMeasure
from bench.measuring.figures import Figure, Row, Verdict
from bench.measuring.rounds import alternate
from bench.running import run_cases
from local_stack.failures import CannotStart


async def works(bench: Bench) -> list[Row]:
    return [Row(what="fine", ours=Figure.of([float(bench.rounds)]))]


async def lacks_a_peer(_: Bench) -> list[Row]:
    raise CannotStart("cannot get nginx")


async def is_wrong(_: Bench) -> list[Row]:
    raise CannotMeasure("7 answers were not 200")


async def has_a_fault(_: Bench) -> list[Row]:
    raise KeyError("ours")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def bench(tmp_path: Path, said: list[str]) -> Bench:
    return Bench(
        quick=True, cores=Cores.of({0, 1}), folder=tmp_path, report=said.append
    )


async def test_what_one_case_cannot_do_stops_no_other(
    bench: Bench, said: list[str]
) -> None:
    cases = [
        Case(run.__name__, run.__name__, run)
        for run in (lacks_a_peer, is_wrong, has_a_fault, works)
    ]

    outcomes = [outcome async for outcome in run_cases(cases, bench)]

    assert [(each.rows[0].verdict, each.rows[0].note) for each in outcomes] == [
        (Verdict.BROKEN, "cannot get nginx"),
        (Verdict.BROKEN, "7 answers were not 200"),
        (Verdict.BROKEN, "KeyError: 'ours'"),
        (Verdict.STATED, ""),
    ]
    assert len(said) == 1  # the fault: it is one of the case, so its trace is shown
    assert "KeyError" in said[0]


async def test_cases_with_a_limit_on_a_time_go_first(bench: Bench) -> None:
    cases = [
        Case("a ratio", "", works),
        Case("a time", "", works, has_limits=True),
        Case("another ratio", "", works),
        Case("another time", "", works, has_limits=True),
    ]

    run = [outcome.name async for outcome in run_cases(cases, bench)]

    assert run == ["a time", "another time", "a ratio", "another ratio"]


async def test_contenders_take_turns() -> None:
    turns = []

    async def ours() -> float:
        turns.append("ours")
        return 1.0

    async def theirs() -> float:
        turns.append("theirs")
        return 2.0

    measured = await alternate({"ours": ours, "theirs": theirs}, rounds=2)

    assert turns == ["ours", "theirs", "ours", "theirs"]
    assert measured == {"ours": [1.0, 1.0], "theirs": [2.0, 2.0]}


async def test_what_decides_much_is_measured_several_times_as_often(
    bench: Bench,
) -> None:
    async def ours() -> float:
        return 1.0

    assert await bench.alternate({"ours": ours}, times=3) == {"ours": [1.0, 1.0, 1.0]}


def test_a_quick_run_picks_less(bench: Bench) -> None:
    assert bench.pick(full=60, quick=10) == 10


class TestCores:
    def test_the_program_under_test_has_one_to_itself(self) -> None:
        cores = Cores.of({5, 2, 3})

        assert (cores.under_test, cores.load, cores.count) == (2, (3, 5), 3)

    def test_one_core_is_too_few(self) -> None:
        with pytest.raises(CannotMeasure, match="two cores"):
            Cores.of({0})


class TestChoice:
    def test_all_cases_run_if_none_is_named(self) -> None:
        assert chosen_cases([]) == CASES

    def test_an_unknown_name_is_refused(self) -> None:
        with pytest.raises(click.BadParameter, match="no case nonsense"):
            chosen_cases(["nonsense"])

    def test_names_are_unique(self) -> None:
        assert len({case.name for case in CASES}) == len(CASES)


class TestShared:
    @staticmethod
    async def run_all(bench: Bench, *shares: str) -> list[str]:
        """What happens when a case after the other uses the same thing."""
        happened: list[str] = []

        @asynccontextmanager
        async def open_site(_: Bench) -> AsyncIterator[str]:
            happened.append("opened")
            yield "site"
            happened.append("closed")

        async def uses(bench: Bench) -> list[Row]:
            happened.append(await bench.shared(open_site))
            return []

        cases = [Case("x", "x", uses, each) for each in shares]
        async for _ in run_cases(cases, bench):
            pass
        return happened

    async def test_neighbours_use_one_and_it_is_closed_at_the_end(
        self, bench: Bench
    ) -> None:
        happened = await self.run_all(bench, "sites", "sites")

        assert happened == ["opened", "site", "site", "closed"]

    async def test_it_is_closed_before_a_case_that_shares_nothing(
        self, bench: Bench
    ) -> None:
        happened = await self.run_all(bench, "sites", "")

        assert happened == ["opened", "site", "closed", "opened", "site", "closed"]
