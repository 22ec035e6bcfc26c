"""From the 2xx of a revoke call to the first refusal at each worker of a gateway."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain

from bench.measuring.context import Bench
from bench.measuring.failures import CannotMeasure
from bench.measuring.figures import (
    Detail,
    Figure,
    Row,
    ours_at_most,
    ratio_at_most,
)
from bench.revocation.message import Messenger, open_messenger
from bench.revocation.probe import INTERVAL, Probe, probe_each
from bench.revocation.site import WRITE_KEY, Site, open_site
from bench.traffic.wrk import HOLE, filled, offer
from enforcement_gateway.testing.process import batch

WORKERS = 4
ROUNDS, QUICK_ROUNDS = 5, 2
REST = 0.015
"""Seconds in which what a revocation leaves to do is done, before the next."""

LOAD = 1_000
"""Requests a second that pass meanwhile, under load."""

LOAD_SECONDS = 2
"""The load is offered for so long again and again, until it is not needed any more."""

MILLISECOND = 1e-3


async def run(bench: Bench) -> list[Row]:
    each = bench.pick(full=100, quick=20)
    rounds = bench.pick(full=ROUNDS, quick=QUICK_ROUNDS)
    async with open_site(bench, WORKERS) as site:
        probes = await probe_each(site.gateway.port, await site.gateway.pids())
        async with open_messenger(site.broker_url) as messenger:
            rows = await _rows(site, probes, messenger, "idle", (rounds, each))
            async with _load(bench, site):
                rows += await _rows(
                    site, probes, messenger, "under load", (rounds, each)
                )
        for probe in probes:
            probe.close()
    return rows


async def _rows(
    site: Site,
    probes: Sequence[Probe],
    messenger: Messenger,
    when: str,
    counts: tuple[int, int],
) -> list[Row]:
    """`counts` are those of the rounds, and of the revocations in each."""
    rounds, each = counts
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(await _revoke_some(site, probes, each))
        theirs.append([await _rested(messenger) for _ in range(each // 2)])
    return [
        Row(
            what=f"revoked until refused by each of {WORKERS} workers, {when}",
            unit="ms",
            ours=Figure.of(_quantile(round_, 0.5) for round_ in ours),
            peer="a message through the broker",
            theirs=Figure.of(_quantile(round_, 0.5) for round_ in theirs),
            target=ratio_at_most(3),
        ),
        Row(
            what=f"the same, p99 of {rounds * each}, {when}",
            unit="ms",
            ours=Figure.of([_quantile([*chain(*ours)], 0.99)]),
            target=ours_at_most(25),
            details=(Detail("the peer's", _quantile([*chain(*theirs)], 0.99), "ms"),),
        ),
    ]


async def _revoke_some(site: Site, probes: Sequence[Probe], count: int) -> list[float]:
    """Seconds until each worker refused each of so many tokens."""
    tokens = await asyncio.gather(
        *(site.issuer.token_of(site.app) for _ in range(count))
    )
    position = await site.tokens_position()
    latencies: list[float] = []
    for token in tokens:
        for probe in probes:
            if not await probe.passes(WRITE_KEY, token):
                raise CannotMeasure("a token was refused before it was revoked")
        await asyncio.sleep(REST)
        latencies += await _revoke(site, probes, token)
    # Once every worker has said that it is there, none may pass any of them again.
    await site.gateway.until_at("tokens", position + count)
    for token in tokens:
        for probe in probes:
            if await probe.passes(WRITE_KEY, token):
                raise CannotMeasure("a revoked token passed after all had reported")
    return latencies


async def _revoke(site: Site, probes: Sequence[Probe], token: str) -> list[float]:
    answer = await site.issuer.revoke(site.app, token)
    if answer.status != 200:
        raise CannotMeasure(f"the issuer answered {answer.status}")
    revoked = asyncio.get_running_loop().time()

    async def refused(probe: Probe, number: int) -> float:
        await asyncio.sleep(INTERVAL * number / len(probes))  # one after another
        return await probe.first_refusal(WRITE_KEY, token) - revoked

    return await asyncio.gather(
        *(refused(probe, number) for number, probe in enumerate(probes))
    )


async def _rested(messenger: Messenger) -> float:
    await asyncio.sleep(REST)
    return await messenger.send()


@asynccontextmanager
async def _load(bench: Bench, site: Site) -> AsyncIterator[None]:
    """Valid requests all the while."""
    token = await site.issuer.token_of(site.app)
    load = filled(bench, "beside", batch(WRITE_KEY, HOLE), [token]).paced(LOAD)
    wanted = True

    async def go_on_offering() -> None:
        while wanted:
            given = await offer(bench, load, site.gateway.port, LOAD_SECONDS)
            given.require_passed("the load")

    offering = asyncio.create_task(go_on_offering())
    await asyncio.sleep(1)
    try:
        yield
    finally:
        wanted = False
        await offering


def _quantile(seconds: Sequence[float], share: float) -> float:
    """In milliseconds."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / MILLISECOND
