"""Large batches, plain and gzip: beside nginx, which looks into neither."""

from collections.abc import Callable, Mapping

from bench.gateway.beside_nginx import Subject, rows_beside_nginx
from bench.gateway.site import Site, open_gateways, open_site
from bench.measuring.context import ROUNDS, Bench
from bench.measuring.figures import Row, ratio_at_least
from bench.traffic.batches import batch, post, post_gzip
from bench.traffic.wrk import same

EVENTS = 100  # the most that the Python SDK puts into a batch
ROUNDS_OF = {64: ROUNDS, 400: 3}
"""Sizes in kilobytes; what takes milliseconds hardly varies."""
FORMS: Mapping[str, Callable[[bytes, str], bytes]] = {"plain": post, "gzip": post_gzip}
INTERPRETED_TARGET = ratio_at_least(0.3)


async def run(bench: Bench) -> list[Row]:
    site = await bench.shared(open_site)
    gateways = await bench.shared(open_gateways)
    return await rows_beside_nginx(site, gateways, _subjects(site))


def _subjects(site: Site) -> list[Subject]:
    token = site.token()
    subjects = []
    for size, rounds in ROUNDS_OF.items():
        body = batch(
            site.source.write_key, events=EVENTS, event_bytes=size * 1000 // EVENTS
        )
        for form, send in FORMS.items():
            request = send(body, token)
            subjects.append(
                Subject(
                    same(site.bench, f"{size} KB, {form}", request),
                    interpreted=INTERPRETED_TARGET,
                    compiled=None,
                    note=f"{len(request) / 1000:.0f} KB are sent, "
                    f"{len(body) / 1000:.0f} KB read",
                    usual_rounds=rounds,
                )
            )
    return subjects
