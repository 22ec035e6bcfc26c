"""Loads that the gateway and nginx get alike."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.gateway.contest import all_given, contest, row, warm_up
from bench.gateway.modes import Mode, chosen_modes
from bench.gateway.site import Site
from bench.measuring.context import ROUNDS
from bench.measuring.failures import rows_or_reason
from bench.measuring.figures import Row, Target
from bench.traffic.wrk import Load

NGINX = "nginx"


class Subject(NamedTuple):
    """A load, and its target in each mode."""

    load: Load
    interpreted: Target | None
    compiled: Target | None
    note: str = ""


async def rows_beside_nginx(
    site: Site,
    subjects: Sequence[Subject],
    *,
    usual_rounds: int = ROUNDS,
    **settings: str,
) -> list[Row]:
    """A row for each subject and mode; `settings` are those of the gateway."""
    modes = chosen_modes(site.bench)
    rows = []
    with site.nginx() as nginx:
        async with site.gateways(modes, **settings) as gateways:
            ports: dict[str, int] = {
                **{mode.value: gateway.port for mode, gateway in gateways.items()},
                NGINX: nginx.port,
            }
            await warm_up(site.bench, all_given(subjects[0].load, ports))
            for subject in subjects:
                measuring = _measure(site, subject, modes, ports, usual_rounds)
                rows += await rows_or_reason(subject.load.name, measuring)
    return rows


async def _measure(
    site: Site,
    subject: Subject,
    modes: Sequence[Mode],
    ports: Mapping[str, int],
    usual_rounds: int,
) -> list[Row]:
    measured = await contest(
        site.bench, all_given(subject.load, ports), usual_rounds=usual_rounds
    )
    return [
        row(
            subject.load.name,
            measured[mode],
            measured[NGINX],
            mode=mode,
            peer=NGINX,
            target=mode.target(subject.interpreted, subject.compiled),
            note=subject.note,
        )
        for mode in modes
    ]
