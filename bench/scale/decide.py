"""Starts from a snapshot, then decides about valid requests whenever it is asked to.

`python -m bench.scale.decide FOLDER` prints one `Started`; then, for each line it
reads, the seconds that one decision took on average. `anew` asks for the first
decisions about each source after its app has changed, any other line for later ones.
"""

import asyncio
import os
import random
import secrets
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog
from msgspec.structs import replace

from bench.measuring.processes import peak_resident_bytes, resident_bytes
from bench.scale.entities import JTI_BYTES, LIFETIME, token_for
from bench.scale.views import empty_view, snapshot_of
from bench.scale.write import SIGNING_KEY
from enforcement_gateway.counters import Counters
from enforcement_gateway.domain.authorization import Admit
from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.gate import Gate
from enforcement_gateway.http.routes import Door
from enforcement_gateway.testing.facts import ISSUER
from enforcement_gateway.verification import Verifier
from enforcement_gateway.view import SubscribedView
from tollgate.events.tokens import TokenRevoked
from tollgate.oauth.scopes import DEFAULT_AUDIENCES
from tollgate.oauth.signing_keys import SigningKey, load_signing_key
from tollgate.projections.huge_pages import LARGE, use_huge_pages

TOKENS = 10_000
"""Live tokens in rotation, each of another app where there are as many."""

ANEW = "anew"

DECISIONS = 100_000
"""In one round, about sources drawn at random: no cache of the processor holds them."""

REVOKED_SINCE = 500
"""Tokens that were revoked since the start, of the app that comes first."""


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
        drawn.append(Request(chance.choice(a_token_of[app.id]), source.write_keys))
    return drawn


def received(asked: list[Request]) -> list[Request]:
    """The same as they come in: each with a text of its own, read from a body."""
    return [
        Request(each.token, (each.write_keys[0].encode().decode(),)) for each in asked
    ]


def decide_all(gate: Gate, asked: list[Request]) -> float:
    """Seconds a decision, and every one of them a yes."""
    decide = gate.decide
    started = time.perf_counter()
    verdicts = [decide(each) for each in asked]
    seconds = time.perf_counter() - started
    if not all(isinstance(verdict, Admit) for verdict in verdicts):
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
    decide_all(gate, received(asked))  # verifies and remembers every token
    revoke_some(view)
    use_huge_pages(LARGE)  # as a worker does every half minute
    say(len(asked))
    for line in sys.stdin:
        if line.strip() == ANEW:
            change_every_app(view)
        say(decide_all(gate, received(asked)))


def revoke_some(view: SubscribedView) -> None:
    """As happens all the time: none of them is asked about."""
    client_id = next(iter(view.registry.apps))
    expires_at = datetime.now(UTC) + LIFETIME
    for _ in range(REVOKED_SINCE):
        revoked = TokenRevoked(
            jti=secrets.token_urlsafe(JTI_BYTES), expires_at=expires_at
        )
        view.tokens.revoked.add([(client_id, revoked)])


def change_every_app(view: SubscribedView) -> None:
    """What was remembered of it holds no more."""
    for app in list(view.registry.apps.values()):
        view.registry.keep_app(replace(app, version=app.version + 1))


def say(what: object) -> None:
    print(msgspec.json.encode(what).decode(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
