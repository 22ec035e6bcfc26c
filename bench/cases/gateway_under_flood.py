"""Valid traffic while a flood of all kinds of bad tokens is offered.

At half of what the gateway can refuse by itself, measured in the same run.
"""

import asyncio
from itertools import chain

from bench.gateway.contest import rates, row
from bench.gateway.forgeries import FLOODS, FORGED_ES256
from bench.gateway.modes import Mode, chosen_modes
from bench.gateway.site import open_site
from bench.measuring.context import Bench
from bench.measuring.figures import (
    Figure,
    Row,
    ratio_at_least,
    ratio_at_most,
)
from bench.measuring.processes import resident_bytes
from bench.traffic.wrk import HOLE, Answers, Load, filled, offer, same
from enforcement_gateway.testing.process import GatewayProcess

HALF = 0.5
SECONDS, FEWER = 2, 1
LEAD = 1
"""Seconds before valid traffic: wrk reads its tokens, and its connections rest once."""
FEW = 3
MOST_CONNECTIONS = 9_000
"""Of a flood: the gateway takes 10,000 at a time."""
REMEMBERED = 2_000
"""Tokens: so few that the cache is full before the rounds, and memory shows a leak."""
OF_A_KIND = 3 * REMEMBERED
"""Bad tokens of each kind: what comes again was forgotten long before."""

TARGET = ratio_at_least(0.5)
FLAT = ratio_at_most(1.1)
MEGABYTE = 1e6


async def run(bench: Bench) -> list[Row]:
    site = await bench.shared(open_site)
    kinds = [flood.pool(site)[:OF_A_KIND] for flood in (*FLOODS, FORGED_ES256)]
    mixed = chain.from_iterable(zip(*kinds, strict=True))
    flood = filled(bench, "a flood of all kinds", site.request(HOLE), mixed)
    valid = same(bench, "valid traffic", site.request())
    rows = []
    for mode in chosen_modes(bench):
        async with site.gateway(mode, REMEMBERED_TOKENS=str(REMEMBERED)) as gateway:
            rows += await _measure(bench, gateway, mode, flood=flood, valid=valid)
    return rows


async def _measure(
    bench: Bench, gateway: GatewayProcess, mode: Mode, *, flood: Load, valid: Load
) -> list[Row]:
    port, seconds = gateway.port, bench.pick(full=SECONDS, quick=FEWER)
    (worker,) = await gateway.pids()
    alone = await offer(bench, flood, port, seconds)
    capacity = alone.require_refused("a flood").rate
    half = flood.paced(capacity * HALF)
    floods: list[Answers] = []

    async def calm() -> Answers:
        return (await offer(bench, valid, port, seconds)).require_passed("calm")

    async def flooded() -> Answers:
        flooding = asyncio.create_task(offer(bench, half, port, LEAD + seconds))
        await asyncio.sleep(LEAD)
        answers = await offer(bench, valid, port, seconds)
        floods.append((await flooding).require_refused("the flood"))
        return answers.require_passed("valid traffic in a flood")

    # How many connections offer as much depends on how long an answer takes meanwhile.
    await flooded()
    wanted = half.connections * capacity * HALF / floods.pop().rate
    half = half.over(min(round(wanted), MOST_CONNECTIONS))
    # Memory for as many connections, and for their end, is not what a leak would be.
    await flooded()
    await calm()
    floods.clear()
    before = resident_bytes(worker) / MEGABYTE
    measured = await bench.alternate({"flooded": flooded, "calm": calm}, usual=FEW)
    after = resident_bytes(worker) / MEGABYTE
    offered = rates(floods).median
    return [
        row(
            "valid traffic in a flood at half of capacity",
            measured["flooded"],
            measured["calm"],
            mode=mode,
            peer="without the flood",
            target=TARGET,
            note=f"{offered:,.0f} refused a second, {offered / capacity:.0%} "
            f"of the {capacity:,.0f} without other traffic",
        ),
        Row(
            what="memory of the worker after the floods",
            mode=mode,
            unit="MB",
            ours=Figure.of([after]),
            peer="before",
            theirs=Figure.of([before]),
            target=FLAT,
        ),
    ]
