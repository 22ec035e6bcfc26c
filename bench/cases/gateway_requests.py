"""Requests that differ, and many connections: beside nginx on the same load."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.gateway.contest import all_given, contest, row, warm_up
from bench.gateway.modes import Mode, chosen_modes
from bench.gateway.site import Site, open_site
from bench.measuring.context import Bench
from bench.measuring.failures import rows_or_reason
from bench.measuring.figures import Row, Target, ratio_at_least
from bench.traffic.batches import batch, post
from bench.traffic.wrk import HOLE, Load, rotating, same, traced

NGINX = "nginx"
SIZES = range(3, 13)  # events in a batch
BODIES_OF_A_SIZE = 100
MANY_CONNECTIONS = 1_000  # below the 1,024 to the upstream, of nginx and of ours


class Subject(NamedTuple):
    load: Load
    interpreted: Target
    compiled: Target


async def run(bench: Bench) -> list[Row]:
    site = await bench.shared(open_site)
    modes = chosen_modes(bench)
    rows = []
    with site.nginx() as nginx:
        async with site.gateways(modes, UPSTREAM_CONNECTIONS="1024") as gateways:
            ports: dict[str, int] = {
                **{mode.value: gateway.port for mode, gateway in gateways.items()},
                NGINX: nginx.port,
            }
            subjects = _subjects(site)
            await warm_up(bench, all_given(subjects[0].load, ports))
            for subject in subjects:
                rows += await rows_or_reason(
                    subject.load.name, _measure(bench, subject, modes, ports)
                )
    return rows


async def _measure(
    bench: Bench, subject: Subject, modes: Sequence[Mode], ports: Mapping[str, int]
) -> list[Row]:
    measured = await contest(bench, all_given(subject.load, ports))
    return [
        row(
            subject.load.name,
            measured[mode],
            measured[NGINX],
            mode=mode,
            peer=NGINX,
            target=mode.target(subject.interpreted, subject.compiled),
        )
        for mode in modes
    ]


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
        ),
        Subject(
            same(bench, f"{MANY_CONNECTIONS:,} connections", site.request()).over(
                MANY_CONNECTIONS
            ),
            interpreted=ratio_at_least(0.8),
            compiled=ratio_at_least(0.9),
        ),
    ]
