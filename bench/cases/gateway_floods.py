"""Floods of bad tokens, each different: beside HAProxy refusing the same.

A forged signature under a known kid has to be verified: that stands beside bare
verification of its algorithm in a loop.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from bench import ROOT
from bench.gateway.contest import all_given, contest, costs, row
from bench.gateway.forgeries import (
    FLOODS,
    FORGED_ES256,
    FORGED_RS256,
    MALFORMED,
    UNKNOWN_KID,
    WRONG_AUDIENCE,
    Flood,
)
from bench.gateway.modes import Mode
from bench.gateway.site import Site, open_gateways, open_site
from bench.measuring.context import Bench
from bench.measuring.failures import CannotMeasure, rows_or_reason
from bench.measuring.figures import Figure, Row, Target, ratio_at_least
from bench.peers.haproxy import HAProxy
from bench.traffic.wrk import HOLE, Answers, Load, filled, offer
from tollgate.oauth.algorithms import Algorithm
from tollgate.testing.raw_http import RawClient

HAPROXY = "HAProxy"
HAPROXY_TELLING = "HAProxy telling why"
HAPROXY_BY_KID = "HAProxy looking at the kid only"
TOLD_WHY = (MALFORMED, WRONG_AUDIENCE)
"""Where the answer is a part of the price; that of a verification hides it."""

REFUSALS = {401, 511}
AS_FAST_AS_HAPROXY = ratio_at_least(1.0)
NEAR_BARE_VERIFICATION = ratio_at_least(0.8)
FORGED: tuple[tuple[Flood, Algorithm, Target | None], ...] = (
    (FORGED_ES256, Algorithm.ES256, NEAR_BARE_VERIFICATION),
    (FORGED_RS256, Algorithm.RS256, None),
)
LOOP_SECONDS = 1.0
FEW = 3  # rounds: what is refused hardly varies
TIMES = 4
"""As many where the peer is a loop: of the two only one is met when the machine drifts,
by a fifth from one second to the next."""


async def run(bench: Bench) -> list[Row]:
    site = await bench.shared(open_site)
    gateways = await bench.shared(open_gateways)
    ports = {mode: gateway.port for mode, gateway in gateways.items()}
    rows = []
    with site.haproxy() as haproxy:
        for flood in FLOODS:
            rows += await rows_or_reason(
                flood.name, _refused(site, flood, ports, haproxy)
            )
    for flood, algorithm, target in bench.pick(full=FORGED, quick=FORGED[:1]):
        rows += await rows_or_reason(
            flood.name, _verified(site, flood, ports, algorithm, target)
        )
    return rows


async def _refused(
    site: Site, flood: Flood, ports: Mapping[Mode, int], haproxy: HAProxy
) -> list[Row]:
    load = await _load(site, flood, ports)
    contenders: dict[str, int] = {
        **{mode.value: port for mode, port in ports.items()},
        HAPROXY: haproxy.es256_port,
    }
    targets: dict[str, Target | None] = {HAPROXY: AS_FAST_AS_HAPROXY}
    if not site.bench.quick and flood in TOLD_WHY:
        contenders[HAPROXY_TELLING] = haproxy.telling_port
        targets[HAPROXY_TELLING] = None
    if not site.bench.quick and flood is UNKNOWN_KID:
        contenders[HAPROXY_BY_KID] = haproxy.kid_port
        targets[HAPROXY_BY_KID] = None
    before = await site.passed()
    measured = await contest(
        site.bench,
        all_given(load, contenders),
        usual_rounds=FEW,
        check=Answers.require_refused,
    )
    await _require_none_passed(site, before)
    return [
        row(
            flood.name,
            measured[mode],
            measured[peer],
            mode=mode,
            peer=peer,
            target=target,
        )
        for peer, target in targets.items()
        for mode in ports
    ]


async def _verified(
    site: Site,
    flood: Flood,
    ports: Mapping[Mode, int],
    algorithm: Algorithm,
    target: Target | None,
) -> list[Row]:
    load = await _load(site, flood, ports)

    answered: dict[Mode, list[Answers]] = {mode: [] for mode in ports}

    def through(mode: Mode) -> Callable[[], Awaitable[float]]:
        async def rate() -> float:
            answers = await offer(site.bench, load, ports[mode], LOOP_SECONDS)
            answered[mode].append(answers.require_refused(flood.name))
            return answers.rate

        return rate

    before = await site.passed()
    measured = await site.bench.alternate(
        {
            **{mode.value: through(mode) for mode in ports},
            "bare": lambda: _bare_verifications(site.bench, algorithm),
        },
        usual=FEW,
        times=1 if target is None else TIMES,
    )
    await _require_none_passed(site, before)
    return [
        Row(
            what=flood.name,
            mode=mode,
            unit="req/s",
            ours=Figure.of(measured[mode]),
            peer=f"bare {algorithm} verification",
            theirs=Figure.of(measured["bare"]),
            target=target,
            details=tuple(costs("", answered[mode])),
        )
        for mode in ports
    ]


async def _load(site: Site, flood: Flood, ports: Mapping[Mode, int]) -> Load:
    """The flood, after each gateway has refused one of it for the right reason."""
    tokens = flood.pool(site)
    for mode, port in ports.items():
        client = await RawClient.connect(port)
        try:
            answer = await client.ask(site.request(tokens[0]))
        finally:
            await client.close()
        code = msgspec.json.decode(answer.body).get("code")
        if answer.status not in REFUSALS or code != flood.reason:
            raise CannotMeasure(
                f"{flood.name}: {mode} said {answer.status} {code}, not {flood.reason}"
            )
    return filled(site.bench, flood.name, site.request(HOLE), tokens)


async def _require_none_passed(site: Site, before: int) -> None:
    passed = await site.passed() - before
    if passed:
        raise CannotMeasure(f"{passed} bad requests reached the tracking API")


async def _bare_verifications(bench: Bench, algorithm: Algorithm) -> float:
    """A second, on the core of the program under test."""
    process = await asyncio.create_subprocess_exec(
        *bench.cores.command_under_test,
        sys.executable,
        *("-m", "bench.gateway.verification_loop", algorithm, str(LOOP_SECONDS)),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise CannotMeasure(f"bare verification of {algorithm} did not run")
    return float(said)
