"""Two workers beside one: what sharing a data port costs."""

from bench.gateway.contest import all_given, contest, row, warm_up
from bench.gateway.modes import chosen_modes
from bench.gateway.site import open_site
from bench.measuring.context import Bench
from bench.measuring.figures import Row, not_here, ratio_at_least
from bench.traffic.wrk import same

WHAT = "two workers"
CORES = 4  # one for each worker, two for load and upstream
TARGET = ratio_at_least(1.8)


async def run(bench: Bench) -> list[Row]:
    if bench.cores.count < CORES:
        why = f"it takes {CORES} cores to see it; here are {bench.cores.count}"
        return [not_here(WHAT, why)]
    site = await bench.shared(open_site)
    modes = chosen_modes(bench)
    load = same(bench, "one token to all workers", site.request())
    async with (
        site.gateways(modes, WORKERS="2") as twos,
        site.gateways(modes) as ones,
    ):
        ports: dict[str, int] = {
            **{f"{mode}, two": gateway.port for mode, gateway in twos.items()},
            **{f"{mode}, one": gateway.port for mode, gateway in ones.items()},
        }
        contenders = all_given(load, ports)
        await warm_up(bench, contenders)
        measured = await contest(bench, contenders)
    return [
        row(
            WHAT,
            measured[f"{mode}, two"],
            measured[f"{mode}, one"],
            mode=mode,
            peer="one worker",
            target=TARGET,
        )
        for mode in modes
    ]
