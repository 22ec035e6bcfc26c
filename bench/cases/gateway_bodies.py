"""Large batches, plain and gzip: beside nginx, which looks into neither."""

from collections.abc import Callable

from bench.gateway.contest import all_given, contest, row, warm_up
from bench.gateway.modes import chosen_modes
from bench.gateway.site import Site, open_site
from bench.measuring.context import Bench
from bench.measuring.figures import Row, ratio_at_least
from bench.traffic.batches import batch, post, post_gzip
from bench.traffic.wrk import Load, same

NGINX = "nginx"
EVENTS = 100  # the most that the Python SDK puts into a batch
KILOBYTES = (64, 400)
FORMS: dict[str, Callable[[bytes, str], bytes]] = {"plain": post, "gzip": post_gzip}
FEW = 3
INTERPRETED_TARGET = ratio_at_least(0.3)


async def run(bench: Bench) -> list[Row]:
    site = await bench.shared(open_site)
    modes = chosen_modes(bench)
    rows = []
    with site.nginx() as nginx:
        async with site.gateways(modes) as gateways:
            ports: dict[str, int] = {
                **{mode.value: gateway.port for mode, gateway in gateways.items()},
                NGINX: nginx.port,
            }
            loads = _loads(site)
            await warm_up(bench, all_given(loads[0][0], ports))
            for load, note in loads:
                contenders = all_given(load, ports)
                measured = await contest(bench, contenders, usual_rounds=FEW)
                rows += [
                    row(
                        load.name,
                        measured[mode],
                        measured[NGINX],
                        mode=mode,
                        peer=NGINX,
                        target=mode.target(INTERPRETED_TARGET, None),
                        note=note,
                    )
                    for mode in modes
                ]
    return rows


def _loads(site: Site) -> list[tuple[Load, str]]:
    """Each with what to know about it."""
    token = site.token()
    loads = []
    for size in KILOBYTES:
        body = batch(
            site.source.write_key, events=EVENTS, event_bytes=size * 1000 // EVENTS
        )
        for form, send in FORMS.items():
            request = send(body, token)
            load = same(site.bench, f"{size} KB, {form}", request)
            sent = f"{len(request) / 1000:.0f} KB are sent, {len(body) / 1000:.0f} read"
            loads.append((load, sent))
    return loads
