"""The same load on several ports, in turns, and rows made of it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from bench.gateway.site import Site
from bench.measuring.figures import Detail, Figure, Row, Target
from bench.traffic.wrk import Answers, Load, offer

Check = Callable[[Answers, str], Answers]

WARM_UP_SECONDS = 1


async def warm_up(site: Site, load: Load, ports: Mapping[str, int]) -> None:
    """Open connections to the upstream, fill caches, and see that it passes."""
    for name, port in ports.items():
        answers = await offer(site.bench, load, port, WARM_UP_SECONDS)
        answers.require_passed(f"{load.name} through {name}")


async def contest(
    site: Site,
    load: Load,
    ports: Mapping[str, int],
    *,
    seconds: float = 1,
    check: Check = Answers.require_passed,
) -> dict[str, list[Answers]]:
    """What each port answered in each round, all of it checked."""

    def measure(name: str, port: int) -> Callable[[], Awaitable[Answers]]:
        async def answers() -> Answers:
            given = await offer(site.bench, load, port, seconds)
            return check(given, f"{load.name} through {name}")

        return answers

    return await site.bench.alternate(
        {name: measure(name, port) for name, port in ports.items()}
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
    """Requests a second beside the peer's, with the slowest hundredth of both."""
    return Row(
        what=what,
        mode=mode,
        unit="req/s",
        ours=rates(ours),
        peer=peer,
        theirs=rates(theirs),
        target=target,
        details=(
            Detail("p99", _p99(ours), "ms"),
            Detail("of the peer", _p99(theirs), "ms"),
        ),
        note=note,
    )


def rates(answers: Sequence[Answers]) -> Figure:
    return Figure.of(each.rate for each in answers)


def _p99(answers: Sequence[Answers]) -> float:
    return Figure.of(each.p99 / 1000 for each in answers).median
