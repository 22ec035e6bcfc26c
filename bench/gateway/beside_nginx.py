"""Loads that the gateway and nginx get alike."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.gateway.contest import all_given, contest, row, warm_up
from bench.gateway.modes import Mode
from bench.gateway.site import Site
from bench.measuring.failures import rows_or_reason
from bench.measuring.figures import Row, Target
from bench.traffic.wrk import Load
from enforcement_gateway.testing.process import GatewayProcess

NGINX = "nginx"
FEW = 3  # rounds, where a fifth more or less decides nothing


class Subject(NamedTuple):
    """A load, and its target in each mode."""

    load: Load
    interpreted: Target | None
    compiled: Target | None
    note: str = ""
    usual_rounds: int = FEW


async def rows_beside_nginx(
    site: Site,
    gateways: Mapping[Mode, GatewayProcess],
    subjects: Sequence[Subject],
) -> list[Row]:
    """A row for each subject and mode."""
    rows = []
    with site.nginx() as nginx:
        ports: dict[str, int] = {
            **{mode.value: gateway.port for mode, gateway in gateways.items()},
            NGINX: nginx.port,
        }
        await warm_up(site.bench, all_given(subjects[0].load, ports))
        for subject in subjects:
            measuring = _measure(site, subject, tuple(gateways), ports)
            rows += await rows_or_reason(subject.load.name, measuring)
    return rows


async def _measure(
    site: Site,
    subject: Subject,
    modes: Sequence[Mode],
    ports: Mapping[str, int],
) -> list[Row]:
    measured = await contest(
        site.bench,
        all_given(subject.load, ports),
        usual_rounds=subject.usual_rounds,
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
