"""The token endpoint beside oidc-provider, and beside its signatures alone."""

import asyncio
import os
import subprocess
import sys
from typing import NamedTuple

import uvloop

from bench import ROOT
from bench.measuring.context import Bench
from bench.measuring.figures import (
    Detail,
    Figure,
    Row,
    ours_at_most,
    ratio_at_least,
)
from bench.measuring.processes import cpu_seconds
from bench.measuring.programs import Program
from bench.peers.oidc_provider import oidc_provider
from bench.tokens.assertions import Endpoint, sign_requests
from bench.tokens.issuer import Issuer, open_issuer
from bench.tokens.load import CONNECTIONS, Exchanged, exchange
from tollgate.oauth.signing_keys import load_signing_key

ROUNDS = 3
WHAT = f"private_key_jwt exchange, {CONNECTIONS} connections"
SAMPLE = 50
"""Tokens of each round whose signature is verified."""

OUR_TOKENS, THEIR_TOKENS, TO_WARM_UP = 9_000, 3_000, 1_000


class Round(NamedTuple):
    exchanged: Exchanged
    cpu: float  # seconds of the program's processor for each token


async def run(bench: Bench) -> list[Row]:
    share = bench.pick(full=1.0, quick=0.3)
    async with open_issuer(bench) as issuer:
        endpoint = issuer.endpoint
        key = load_signing_key(endpoint.key.encode()).public
        with oidc_provider(bench, endpoint.client_id, key) as provider:
            peer = Endpoint(
                issuer=f"http://127.0.0.1:{provider.port}",
                port=provider.port,
                client_id=endpoint.client_id,
                key=endpoint.key,
            )

            async def measure_ours() -> Round:
                count = int(OUR_TOKENS * share)
                return await _round(bench, issuer.program, endpoint, count)

            async def measure_theirs() -> Round:
                return await _round(bench, provider, peer, int(THEIR_TOKENS * share))

            async def measure_limit() -> float:
                return _limit(bench)

            await _round(bench, issuer.program, endpoint, TO_WARM_UP)
            await _round(bench, provider, peer, TO_WARM_UP)
            rounds = await bench.alternate(
                {"ours": measure_ours, "theirs": measure_theirs}, usual=ROUNDS
            )
            limits = await bench.alternate({"limit": measure_limit}, usual=ROUNDS)
        await _require_good(issuer, rounds["ours"])
    return _rows(rounds["ours"], rounds["theirs"], limits["limit"])


async def _round(
    bench: Bench, program: Program, endpoint: Endpoint, count: int
) -> Round:
    requests = await sign_requests(endpoint, count, bench.cores)
    assert program.pid is not None
    before = cpu_seconds(program.pid)
    # On a loop that costs little: Postgres has to share the core of the load.
    exchanged = await asyncio.to_thread(uvloop.run, exchange(endpoint.port, requests))
    return Round(exchanged, (cpu_seconds(program.pid) - before) / count)


def _limit(bench: Bench) -> float:
    """Pairs of signatures a second, on the core of the program under test."""
    seconds = bench.pick(full=1.5, quick=0.5)
    measured = subprocess.run(
        [
            *bench.cores.command_under_test,
            sys.executable,
            "-m",
            "bench.tokens.limit",
            str(seconds),
        ],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return float(measured.stdout)


async def _require_good(issuer: Issuer, rounds: list[Round]) -> None:
    given = TO_WARM_UP + sum(len(each.exchanged.tokens) for each in rounds)
    await issuer.require_recorded(given)
    for each in rounds:
        await issuer.require_good(each.exchanged.tokens[:SAMPLE])


def _rows(ours: list[Round], theirs: list[Round], limits: list[float]) -> list[Row]:
    rate = Figure.of(each.exchanged.per_second for each in ours)
    peer = Figure.of(each.exchanged.per_second for each in theirs)
    costs = Figure.of(each.cpu * 1e6 for each in ours)
    return [
        Row(
            what=WHAT,
            unit="tokens/s",
            ours=rate,
            peer="oidc-provider, in memory",
            theirs=peer,
            target=ratio_at_least(3),
        ),
        Row(
            what="the same",
            unit="tokens/s",
            ours=rate,
            peer="its two signatures alone",
            theirs=Figure.of(limits),
            target=ratio_at_least(0.22),
        ),
        Row(
            what="the same, p99",
            unit="ms",
            ours=Figure.of(each.exchanged.quantile(0.99) * 1e3 for each in ours),
            peer="oidc-provider, in memory",
            theirs=Figure.of(each.exchanged.quantile(0.99) * 1e3 for each in theirs),
            target=ours_at_most(12),
        ),
        Row(
            what="processor time for a token",
            unit="us",
            ours=costs,
            peer="oidc-provider, in memory",
            theirs=Figure.of(each.cpu * 1e6 for each in theirs),
            details=(
                Detail("signatures", 1e6 / Figure.of(limits).median, "us"),
                Detail(
                    "p50",
                    Figure.of(
                        each.exchanged.quantile(0.5) * 1e3 for each in ours
                    ).median,
                    "ms",
                ),
            ),
        ),
    ]
