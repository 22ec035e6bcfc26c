"""Starts from a snapshot, then decides about valid requests whenever it is asked to.

`python -m bench.scale.decide FOLDER` prints one `Started`; then, for each line it
reads, the seconds that one decision took on average.
"""

import asyncio
import os
import random
import sys
import time
from pathlib import Path

import msgspec
import structlog

from bench.measuring.processes import peak_resident_bytes, resident_bytes
from bench.scale.entities import token_for
from bench.scale.views import empty_view, snapshot_of
from bench.scale.write import SIGNING_KEY
from enforcement_gateway.counters import Counters
from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.gate import Gate, Passed
from enforcement_gateway.http.routes import Door
from enforcement_gateway.testing.facts import ISSUER
from enforcement_gateway.verification import Verifier
from enforcement_gateway.view import SubscribedView
from tollgate.oauth.scopes import DEFAULT_AUDIENCES
from tollgate.oauth.signing_keys import SigningKey, load_signing_key

TOKENS = 10_000
"""Live tokens in rotation, each of another app where there are as many."""

DECISIONS = 100_000
"""In one round, about sources drawn at random: no cache of the processor holds them."""


class Started(msgspec.Struct, frozen=True):
    seconds: float
    resident: int
    peak: int


class Request(msgspec.Struct, frozen=True):
    """A request as the gate sees it."""

    token: bytes | Reason
    write_keys: tuple[str, ...]
    door: Door = Door.TRACKING
    source_id: str | None = None
    request_id: bytes = b"request"
    user_agent: bytes = b"bench"


async def start(folder: Path) -> SubscribedView:
    view = empty_view()
    before = resident_bytes(os.getpid())
    started = time.perf_counter()
    if not await snapshot_of(view, folder).restore():
        raise SystemExit("the snapshot was refused")
    seconds = time.perf_counter() - started
    view.look()
    pid = os.getpid()
    say(Started(seconds, resident_bytes(pid) - before, peak_resident_bytes(pid)))
    return view


def requests(view: SubscribedView, signing_key: SigningKey) -> list[Request]:
    """Valid ones for random sources, each with a token of its source's app."""
    registry = view.registry
    chance = random.Random(1)  # noqa: S311 - the same draw in every run
    apps = list(registry.apps.values())
    some_apps = chance.sample(apps, min(TOKENS, len(apps)))
    a_token_of = {
        app.id: [
            token_for(
                registry.sources[next(iter(app.sources))], registry, signing_key
            ).encode()
            for _ in range(TOKENS // len(some_apps))
        ]
        for app in some_apps
    }
    drawn = []
    for _ in range(DECISIONS):
        app = chance.choice(some_apps)
        source = registry.sources[chance.choice(tuple(app.sources))]
        # A text of its own, as one that was read from a body.
        write_key = source.write_keys[0].encode().decode()
        drawn.append(Request(chance.choice(a_token_of[app.id]), (write_key,)))
    return drawn


def decide_all(gate: Gate, asked: list[Request]) -> float:
    """Seconds a decision, and every one of them a yes."""
    decide = gate.decide
    started = time.perf_counter()
    verdicts = [decide(each) for each in asked]
    seconds = time.perf_counter() - started
    if not all(isinstance(verdict, Passed) for verdict in verdicts):
        raise SystemExit("a valid request was denied")
    return seconds / len(asked)


def main(folder: Path) -> None:
    # Standard output belongs to whoever asks.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    view = asyncio.run(start(folder))
    pem = (folder / SIGNING_KEY).read_bytes()
    gate = Gate(
        view,
        Verifier(ISSUER, remembered=4 * TOKENS),
        Counters(),
        audiences=DEFAULT_AUDIENCES,
    )
    asked = requests(view, load_signing_key(pem))
    decide_all(gate, asked)  # verifies and remembers every token
    say(len(asked))
    for _ in sys.stdin:
        say(decide_all(gate, asked))


def say(what: object) -> None:
    print(msgspec.json.encode(what).decode(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
