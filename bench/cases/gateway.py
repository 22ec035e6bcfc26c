"""Valid traffic, one token: beside a proxy that checks it, and one that does not.

With the cache of verified tokens, and with every token verified at every request.
"""

from bench.gateway.contest import all_given, contest, row, warm_up
from bench.gateway.modes import chosen_modes
from bench.gateway.site import open_gateways, open_site
from bench.measuring.context import Bench
from bench.measuring.figures import Row, ratio_at_least
from bench.traffic.wrk import same

NGINX, HAPROXY = "nginx", "HAProxy"
TIMES = 2
"""Twice as many rounds as elsewhere: the most important number is to be steady."""
FEW = 3  # rounds of what is stated only


async def run(bench: Bench) -> list[Row]:
    site = await bench.shared(open_site)
    modes = chosen_modes(bench)
    load = same(bench, "one token", site.request())
    remembering = await bench.shared(open_gateways)
    async with site.gateways(modes, REMEMBERED_TOKENS="0") as forgetting:
        with site.haproxy() as haproxy, site.nginx() as nginx:
            ports: dict[str, int] = {
                **{mode.value: each.port for mode, each in remembering.items()},
                HAPROXY: haproxy.rs256_port,
                NGINX: nginx.port,
            }
            contenders = all_given(load, ports)
            await warm_up(bench, contenders)
            measured = await contest(bench, contenders, times=TIMES)
            ports = {
                **{mode.value: each.port for mode, each in forgetting.items()},
                HAPROXY: haproxy.rs256_port,
            }
            verified = await contest(bench, all_given(load, ports), usual_rounds=FEW)
    rows = []
    targets = {HAPROXY: (2.3, 2.9), NGINX: (0.8, 1.0)}
    for mode in modes:
        for peer, (interpreted, compiled) in targets.items():
            rows.append(
                row(
                    "one token",
                    measured[mode],
                    measured[peer],
                    mode=mode,
                    peer=peer,
                    target=mode.target(
                        ratio_at_least(interpreted), ratio_at_least(compiled)
                    ),
                )
            )
        rows.append(
            row(
                "every token verified anew",
                verified[mode],
                verified[HAPROXY],
                mode=mode,
                peer=HAPROXY,
                target=None,
            )
        )
    return rows
