"""Requests that differ, and many connections: beside nginx on the same load."""

from bench.gateway.beside_nginx import Subject, rows_beside_nginx
from bench.gateway.modes import chosen_modes
from bench.gateway.site import Site, open_site
from bench.measuring.context import ROUNDS, Bench
from bench.measuring.figures import Row, ratio_at_least
from bench.traffic.batches import batch, post
from bench.traffic.wrk import HOLE, rotating, same, traced

SIZES = range(3, 13)  # events in a batch
BODIES_OF_A_SIZE = 100
MANY_CONNECTIONS = 1_000
UPSTREAM_CONNECTIONS = 1_024  # as many as nginx keeps


async def run(bench: Bench) -> list[Row]:
    site = await bench.shared(open_site)
    async with site.gateways(
        chosen_modes(bench), UPSTREAM_CONNECTIONS=str(UPSTREAM_CONNECTIONS)
    ) as gateways:
        return await rows_beside_nginx(site, gateways, _subjects(site))


def _subjects(site: Site) -> list[Subject]:
    bench, token, write_key = site.bench, site.token(), site.source.write_key
    # As W3C Trace Context has it: another in every request.
    traceparent = {"traceparent": f"00-{HOLE}-00f067aa0ba902b7-01"}
    sizes = (
        post(batch(write_key, events=events, seed=number), token)
        for number in range(BODIES_OF_A_SIZE)
        for events in SIZES
    )
    return [
        Subject(
            traced(
                bench,
                "a trace id that differs each time",
                post(batch(write_key), token, traceparent),
            ),
            interpreted=ratio_at_least(0.5),
            compiled=ratio_at_least(0.65),
        ),
        Subject(
            rotating(bench, "3 to 12 events, bodies that differ", sizes),
            interpreted=ratio_at_least(0.7),
            compiled=ratio_at_least(0.9),
            usual_rounds=ROUNDS,  # as its targets are near
        ),
        Subject(
            same(bench, f"{MANY_CONNECTIONS:,} connections", site.request()).over(
                MANY_CONNECTIONS
            ),
            interpreted=ratio_at_least(0.8),
            compiled=ratio_at_least(0.9),
        ),
    ]
