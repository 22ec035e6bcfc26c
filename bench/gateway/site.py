"""Everything around the gateway: logs, feeds, broker, upstream, peers, and who sends.

The gateway is the one that is deployed: a parent and its workers, with the view
projected from the real logs, so that every rule is on.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager

import aiohttp

from bench import ROOT
from bench.gateway.modes import Mode, chosen_modes, require_mode
from bench.measuring.context import Bench
from bench.measuring.cores import pin
from bench.measuring.failures import CannotMeasure
from bench.measuring.programs import Program
from bench.peers.haproxy import HAProxy, Trust, haproxy
from bench.peers.nginx import nginx_proxy
from bench.traffic.batches import batch, post
from enforcement_gateway.testing import facts
from enforcement_gateway.testing.facts import ISSUER, App, Source
from enforcement_gateway.testing.owners import TOKENS, Owners, owners_of
from enforcement_gateway.testing.process import GatewayProcess, gateway_process
from local_stack.databases import temporary_database
from local_stack.ports import free_ports
from tollgate.events.registry import Enforcement
from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.scopes import DEFAULT_AUDIENCES, Scope
from tollgate.oauth.signing_keys import SigningKey
from tollgate.testing.keys import signing_key

SCOPE = Scope.TRACKING_API_WRITE


class Site:
    """One enforced source, the app that may write to it, and the issuer's two keys."""

    def __init__(
        self,
        bench: Bench,
        owners: Owners,
        *,
        app: App,
        source: Source,
        upstream: Program,
        amqp_url: str,
    ) -> None:
        self.bench = bench
        self.app = app
        self.source = source
        self.es256 = owners.signing_key  # what our issuer signs with if not told else
        self.rs256 = signing_key(Algorithm.RS256)
        self.upstream_port = upstream.port
        self.pools: dict[str, list[str]] = {}  # of tokens, which take seconds to make
        self._owners = owners
        self._amqp_url = amqp_url

    # --- what clients send ---

    def token(self, key: SigningKey | None = None, **claims: object) -> str:
        """A token of the app, by the RS256 key if no other is given."""
        return facts.minted(self.app, key or self.rs256, **claims)  # type: ignore[arg-type]

    def request(self, token: str | None = None) -> bytes:
        """The usual one: 1.5 KB, five events."""
        return post(batch(self.source.write_key), token or self.token())

    # --- who is measured ---

    @asynccontextmanager
    async def gateway(
        self, mode: Mode, **settings: str
    ) -> AsyncIterator[GatewayProcess]:
        """A gateway that has both logs; all of it on the core of what is under test.

        `settings` are those of an operator, by their names without the prefix. Workers
        get a core each.
        """
        bench = self.bench
        data_port, status_port = free_ports(2)
        async with gateway_process(
            self._owners,
            f"http://127.0.0.1:{self.upstream_port}",
            (data_port, status_port),
            self._amqp_url,
            **mode.settings,
            **settings,
        ) as process:
            await process.start()
            await process.until_ready()
            await process.until_pushed()
            pin(process.pid, bench.cores.under_test)
            for number, pid in enumerate(await process.pids()):
                require_mode(mode, pid)
                pin(pid, (bench.cores.under_test, *bench.cores.load)[number])
            yield process

    @asynccontextmanager
    async def gateways(
        self, modes: tuple[Mode, ...], **settings: str
    ) -> AsyncIterator[dict[Mode, GatewayProcess]]:
        """One of each mode, idle until it is its turn."""
        async with AsyncExitStack() as stack:
            opened = await asyncio.gather(
                *(
                    stack.enter_async_context(self.gateway(mode, **settings))
                    for mode in modes
                )
            )
            yield dict(zip(modes, opened, strict=True))

    def nginx(self) -> AbstractContextManager[Program]:
        """A proxy that checks nothing, on the same core."""
        return nginx_proxy(self.bench, self.upstream_port)

    def haproxy(self) -> AbstractContextManager[HAProxy]:
        """A proxy that checks the same tokens, on the same core."""
        trust = Trust(
            issuer=ISSUER,
            audience=DEFAULT_AUDIENCES[SCOPE],
            scope=SCOPE,
            rs256=self.rs256.public,
            es256=self.es256.public,
        )
        return haproxy(self.bench, self.upstream_port, trust)

    # --- what is checked ---

    async def status_of(self, port: int, request: bytes) -> int:
        """How one request is answered."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request)
            line = await reader.readline()
            return int(line.split()[1])
        except (OSError, IndexError, ValueError) as error:
            raise CannotMeasure(f"no answer on port {port}: {error}") from None
        finally:
            writer.close()

    async def passed(self) -> int:
        """How many requests have reached the upstream so far."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.upstream_port}/") as answer,
        ):
            return int(await answer.text())


@asynccontextmanager
async def open_site(bench: Bench) -> AsyncIterator[Site]:
    """Real servers, with both logs in one database, and nobody measured yet."""
    postgres_url, broker = await bench.servers()
    virtual_host = broker.new_virtual_host()
    (port,) = free_ports(1)
    async with (
        temporary_database(postgres_url) as database,
        owners_of(database.owner_url, amqp_url_of=virtual_host.url_of) as owners,
    ):
        app = await owners.add_app()
        source = await owners.add_source(Enforcement.ENFORCE, app)
        rs256 = signing_key(Algorithm.RS256)
        await owners.record(TOKENS, facts.signing_key_announced(rs256))
        with bench.running(
            "upstream",
            [sys.executable, "-m", "bench.traffic.upstream", str(port)],
            port=port,
            environment={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as upstream:
            yield Site(
                bench,
                owners,
                app=app,
                source=source,
                upstream=upstream,
                amqp_url=virtual_host.url_of("enforcement-gateway"),
            )


@asynccontextmanager
async def open_gateways(bench: Bench) -> AsyncIterator[dict[Mode, GatewayProcess]]:
    """One of each mode to measure, set as one is that nobody has set.

    Started once, for all cases that ask for no other settings.
    """
    site = await bench.shared(open_site)
    async with site.gateways(chosen_modes(bench)) as gateways:
        yield gateways
