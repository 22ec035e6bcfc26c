"""The token endpoint beside oidc-provider, and beside its signatures alone."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol

import msgspec
import uvloop

from bench import ROOT
from bench.measuring.context import Bench
from bench.measuring.failures import CannotMeasure
from bench.measuring.figures import (
    Detail,
    Figure,
    Row,
    ours_at_most,
    ratio_at_least,
    stood_still,
)
from bench.measuring.processes import cpu_seconds, share_stolen, stolen_seconds
from bench.measuring.programs import Program
from bench.peers.oidc_provider import oidc_provider
from bench.tokens.assertions import Endpoint, Signers
from bench.tokens.growth import add_apps, open_spent_assertions
from bench.tokens.issuer import Issuer, open_issuer
from bench.tokens.load import CONNECTIONS, Exchanged, exchange
from tollgate.oauth.signing_keys import load_signing_key

ROUNDS = 3
WHAT = f"private_key_jwt exchange, {CONNECTIONS} connections"
SAMPLE = 50
"""Tokens of each round whose signature is verified."""

OUR_TOKENS, THEIR_TOKENS, TO_WARM_UP = 5_000, 2_000, 1_000
APPS, SPENT, TOKENS_OF_MANY = 3_000, 100_000, 1_000

LONG = timedelta(days=1)


class Round(NamedTuple):
    exchanged: Exchanged
    cpu: float  # seconds of the program's processor for each token
    stolen: float  # share of the time for which the machine's cores stood still


async def run(bench: Bench) -> list[Row]:
    with Signers(bench.cores) as signers:
        async with open_issuer(bench) as issuer:
            ours = _Asked(signers, issuer.endpoint, issuer.program)
            rows = await _beside_the_peer(bench, issuer, ours, signers)
            if not bench.quick:
                rows += await _as_it_grows(bench, issuer, ours)
            await issuer.require_recorded(ours.given)
            return rows


class _Asked:
    """An endpoint that is asked for tokens, and how many it has given.

    Its clients ask in turns, which go on from round to round.
    """

    def __init__(
        self, signers: Signers, endpoint: Endpoint, *programs: Program
    ) -> None:
        self.endpoint = endpoint
        self.given = 0
        self._signers = signers
        self._programs = list(programs)
        self._ports = [endpoint.port]

    async def round(
        self,
        count: int,
        *,
        clients: Sequence[str] = (),
        also: "_Another | None" = None,
    ) -> Round:
        """`clients` instead of the usual ones; `also` takes half of the connections."""
        endpoint = self.endpoint
        if clients:
            endpoint = msgspec.structs.replace(endpoint, client_ids=tuple(clients))
        requests = await self._signers.sign(endpoint, count, first=self.given)
        ports, programs = self._ports, self._programs
        if also is not None:
            ports, programs = [*ports, also.port], [*programs, also.program]
        pids = [program.pid for program in programs if program.pid is not None]
        before = sum(cpu_seconds(pid) for pid in pids)
        stolen = stolen_seconds()
        # On a loop that costs little: Postgres has to share the core of the load.
        exchanged = await asyncio.to_thread(uvloop.run, exchange(ports, requests))
        stolen = share_stolen(stolen_seconds() - stolen, exchanged.seconds)
        used = sum(cpu_seconds(pid) for pid in pids) - before
        self.given += count
        return Round(exchanged, used / count, stolen)


class _Another(Protocol):
    @property
    def program(self) -> Program: ...
    @property
    def port(self) -> int: ...


async def _beside_the_peer(
    bench: Bench, issuer: Issuer, ours: _Asked, signers: Signers
) -> list[Row]:
    share = bench.pick(full=1.0, quick=0.3)
    endpoint = issuer.endpoint
    (client_id,) = endpoint.client_ids
    key = load_signing_key(endpoint.key.encode()).public
    with oidc_provider(bench, client_id, key) as provider:
        theirs = _Asked(
            signers,
            msgspec.structs.replace(
                endpoint, issuer=f"http://127.0.0.1:{provider.port}", port=provider.port
            ),
            provider,
        )

        limits = []

        async def measure_ours() -> Round:
            limits.append(_limit(bench))
            return await ours.round(int(OUR_TOKENS * share))

        async def measure_theirs() -> Round:
            return await theirs.round(int(THEIR_TOKENS * share))

        await ours.round(TO_WARM_UP)
        await theirs.round(TO_WARM_UP)
        rounds = await bench.alternate(
            {"ours": measure_ours, "theirs": measure_theirs}, usual=ROUNDS
        )
    for each in rounds["ours"]:
        await issuer.require_good(each.exchanged.tokens[:SAMPLE])
    return _rows(rounds["ours"], rounds["theirs"], limits, await issuer.a_flush())


async def _as_it_grows(bench: Bench, issuer: Issuer, ours: _Asked) -> list[Row]:
    """The issuer beside itself: with many APPS and assertions, and in two processes."""
    before = await bench.alternate(
        {"": lambda: ours.round(TOKENS_OF_MANY)}, usual=ROUNDS
    )
    async with open_spent_assertions(issuer.owner_url) as assertions:
        await assertions.add(SPENT, good_for=LONG)
        key = load_signing_key(issuer.endpoint.key.encode())
        clients = await add_apps(issuer.registry, key, APPS)
        await issuer.until_registry_is_known()
        # Each of them once, so that its key is at hand.
        await ours.round(APPS, clients=clients)

        async def while_pruning() -> Round:
            await assertions.add(SPENT, good_for=-LONG)
            pruning = asyncio.create_task(assertions.prune())
            measured = await ours.round(TOKENS_OF_MANY)
            if await pruning < SPENT:
                raise CannotMeasure("not all that had expired was forgotten")
            return measured

        async with issuer.another() as another:
            rounds = await bench.alternate(
                {
                    "one": lambda: ours.round(TOKENS_OF_MANY),
                    "many": lambda: ours.round(TOKENS_OF_MANY, clients=clients),
                    "pruned": while_pruning,
                    "two": lambda: ours.round(TOKENS_OF_MANY, also=another),
                },
                usual=ROUNDS,
            )
    one = rounds["one"]
    return [
        _grown(f"{SPENT:,} assertions spent before", one, "none", before[""]),
        _grown(f"{APPS:,} apps in turns", rounds["many"], "one app", one),
        _grown(
            f"while {SPENT:,} assertions are forgotten",
            rounds["pruned"],
            "without",
            one,
        ),
        _grown(
            "two processes on that core and one database",
            rounds["two"],
            "one process",
            one,
        ),
    ]


def _grown(what: str, ours: list[Round], peer: str, theirs: list[Round]) -> Row:
    return Row(
        what=what,
        unit="tokens/s",
        ours=Figure.of(each.exchanged.per_second for each in ours),
        peer=peer,
        theirs=Figure.of(each.exchanged.per_second for each in theirs),
        details=(
            Detail("p99", _p99(ours), "ms"),
            Detail("peer's p99", _p99(theirs), "ms"),
            Detail(
                "processor", Figure.of(each.cpu * 1e6 for each in ours).median, "us"
            ),
        ),
    )


def _p99(rounds: list[Round]) -> float:
    return Figure.of(each.exchanged.quantile(0.99) * 1e3 for each in rounds).median


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


def _rows(
    ours: list[Round], theirs: list[Round], limits: list[float], flush: Detail
) -> list[Row]:
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
            details=(stood_still(each.stolen for each in ours), flush),
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
