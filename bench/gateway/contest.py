"""Loads on ports, in turns, and rows made of what was answered."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from statistics import median

import msgspec

from bench.measuring.context import ROUNDS, Bench
from bench.measuring.figures import Detail, Figure, Row, Target
from bench.traffic.wrk import Answers, Load, offer

BUSY = 0.85
"""Share of the time in which a core has work that is as fast as it can be."""

Check = Callable[[Answers, str], Answers]


class Contender(msgspec.Struct, frozen=True):
    """A load, and the port that gets it."""

    load: Load
    port: int


def all_given(load: Load, ports: Mapping[str, int]) -> dict[str, Contender]:
    """The same load for each."""
    return {name: Contender(load, port) for name, port in ports.items()}


async def warm_up(bench: Bench, contenders: Mapping[str, Contender]) -> None:
    """Open connections to the upstream and fill caches; a quick run does without."""
    if not bench.quick:
        await offer_each(bench, contenders)


async def offer_each(bench: Bench, contenders: Mapping[str, Contender]) -> None:
    """A second of the load to each, which has to pass."""
    for name, each in contenders.items():
        answers = await offer(bench, each.load, each.port, 1)
        answers.require_passed(f"{each.load.name} through {name}")


async def contest(
    bench: Bench,
    contenders: Mapping[str, Contender],
    *,
    seconds: float = 1,
    usual_rounds: int = ROUNDS,
    times: int = 1,
    check: Check = Answers.require_passed,
) -> dict[str, list[Answers]]:
    """What each was answered in each round, all of it checked.

    How many rounds: as `Bench.alternate` says.
    """

    def measure(name: str, each: Contender) -> Callable[[], Awaitable[Answers]]:
        async def answers() -> Answers:
            given = await offer(bench, each.load, each.port, seconds)
            return check(given, f"{each.load.name} through {name}")

        return answers

    return await bench.alternate(
        {name: measure(name, each) for name, each in contenders.items()},
        usual=usual_rounds,
        times=times,
    )


def row(
    what: str,
    ours: Sequence[Answers],
    theirs: Sequence[Answers],
    *,
    mode: str,
    peer: str,
    target: Target | None,
    note: str = "",
) -> Row:
    """Requests a second beside the peer's, and where the time went in both."""
    return Row(
        what=what,
        mode=mode,
        unit="req/s",
        ours=rates(ours),
        peer=peer,
        theirs=rates(theirs),
        target=target,
        details=(*costs("", ours), *costs("peer's ", theirs)),
        note="; ".join(
            part
            for part in (note, _idle("it", ours), _idle("the peer", theirs))
            if part
        ),
    )


def rates(answers: Sequence[Answers]) -> Figure:
    return Figure.of(each.rate for each in answers)


def _idle(who: str, answers: Sequence[Answers]) -> str:
    """Whether something else held it back than its core: then it can do more."""
    busy = median(each.busy for each in answers)
    if busy >= BUSY:
        return ""
    return f"the load was the limit: {who} was busy for {busy:.0%} of the time"


def costs(whose: str, answers: Sequence[Answers]) -> Iterator[Detail]:
    """The slowest hundredth, and what a request takes of the core under test."""
    yield Detail(f"{whose}p99", median(each.p99 / 1000 for each in answers), "ms")
    for name, seconds in (
        ("program", [each.core.programs / each.requests for each in answers]),
        ("kernel", [each.core.kernel / each.requests for each in answers]),
    ):
        yield Detail(f"{whose}{name}", median(seconds) * 1e6, "µs")
