"""An issuer, a gateway of several workers, and the broker between them."""

import base64
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from bench import ROOT
from bench.measuring.context import Bench
from bench.measuring.cores import pin
from enforcement_gateway.testing.process import GatewayProcess
from local_stack.databases import temporary_database
from local_stack.ports import free_ports
from token_issuer.schemas import migrate_database
from token_issuer.testing.issuer import ISSUER, IssuerUnderTest
from token_issuer.testing.registry import (
    WORKSPACE,
    RegisteredApp,
    RegistryStandIn,
    registry_stand_in,
)
from tollgate.events.registry import (
    Enforcement,
    EnforcementChanged,
    OAuthAppConnected,
    SourceConnected,
    SourceCreated,
    WriteKeyAdded,
)

FEED_SECRET = "the-gateways-own-credential"
WRITE_KEY = "a-write-key-of-the-bench"
SOURCE = "src_1"


@dataclass(frozen=True, slots=True)
class Site:
    """All of it running. `broker_url` is that of an administrator of the broker."""

    issuer: IssuerUnderTest
    gateway: GatewayProcess
    app: RegisteredApp
    broker_url: str

    async def tokens_position(self) -> int:
        """The end of the tokens log, when every worker is there."""
        workers = await self.gateway.until_workers(_are_level)
        return _positions(workers).pop()


def _are_level(workers: list[Any]) -> bool:
    return len(_positions(workers)) == 1


def _positions(workers: list[Any]) -> set[int]:
    """Where the workers are in the tokens log."""
    return {
        log["position"]
        for each in workers
        for log in each["view"]["logs"]
        if log["log"] == "tokens"
    }


@asynccontextmanager
async def open_site(bench: Bench, workers: int) -> AsyncIterator[Site]:
    """The program under test is everything here, so all of it has all the cores."""
    cores = (bench.cores.under_test, *bench.cores.load)
    issuer_port, upstream_port, *gateway_ports = free_ports(4)
    postgres_url, broker = await bench.servers()
    virtual_host = broker.new_virtual_host()
    async with (
        temporary_database(postgres_url) as database,
        temporary_database(postgres_url) as registry_database,
        registry_stand_in(registry_database.owner_url) as registry,
        aiohttp.ClientSession() as session,
    ):
        await migrate_database(database.owner_url, database.service_url)
        app = await _connected_app(registry)
        settings = _issuer_settings(
            database.service_url, virtual_host.url_of("token-issuer"), registry
        )
        with (
            bench.running(
                "token-issuer",
                [sys.executable, "-m", "token_issuer", "serve"],
                port=issuer_port,
                environment=_environment(
                    "TOKEN_ISSUER", settings, PORT=str(issuer_port)
                ),
            ) as issuer_program,
            bench.running(
                "upstream",
                [
                    sys.executable,
                    "-m",
                    "bench.traffic.upstream",
                    str(upstream_port),
                ],
                port=upstream_port,
                environment={**os.environ, "PYTHONPATH": str(ROOT)},
            ),
        ):
            assert issuer_program.pid is not None
            pin(issuer_program.pid, *cores)
            issuer = IssuerUnderTest(ISSUER, f"http://127.0.0.1:{issuer_port}", session)
            await issuer.until_ready()
            gateway = GatewayProcess(
                _environment(
                    "ENFORCEMENT_GATEWAY",
                    {
                        "ISSUER": ISSUER,
                        "UPSTREAM_URL": f"http://127.0.0.1:{upstream_port}",
                        "REGISTRY_URL": registry.url,
                        "REGISTRY_FEED_SECRET": registry.secret.reveal(),
                        "ISSUER_URL": issuer.url,
                        "ISSUER_FEED_SECRET": FEED_SECRET,
                        "AMQP_URL": virtual_host.url_of("enforcement-gateway"),
                        "PORT": str(gateway_ports[0]),
                        "STATUS_PORT": str(gateway_ports[1]),
                        "WORKERS": str(workers),
                    },
                )
            )
            await gateway.start()
            try:
                await gateway.until_ready()
                await gateway.until_logs(
                    lambda log: log["log"] != "tokens" or bool(log["pushed"])
                )
                pin(gateway.pid, *cores)
                yield Site(issuer, gateway, app, virtual_host.url)
            finally:
                await gateway.stop()


async def _connected_app(registry: RegistryStandIn) -> RegisteredApp:
    """An app, and an enforced source that it may write to."""
    app = await registry.add_app(wait=False)
    await registry.append(
        f"source-{SOURCE}",
        SourceCreated(workspace_id=WORKSPACE, name=SOURCE, source_type="http-api"),
        WriteKeyAdded(write_key=WRITE_KEY),
        OAuthAppConnected(app_id=app.id),
        EnforcementChanged(mode=Enforcement.ENFORCE),
    )
    await registry.append(f"oauth_app-{app.id}", SourceConnected(source_id=SOURCE))
    return app


def _issuer_settings(
    database_url: str, amqp_url: str, registry: RegistryStandIn
) -> dict[str, str]:
    reader = {
        "name": "enforcement-gateway",
        "secrets": [FEED_SECRET],
        "logs": ["tokens"],
    }
    key = base64.b64encode(os.urandom(32)).decode()
    return {
        "ISSUER": ISSUER,
        "DATABASE_URL": database_url,
        "AMQP_URL": amqp_url,
        "REGISTRY_URL": registry.url,
        "REGISTRY_FEED_SECRET": registry.secret.reveal(),
        "KEY_ENCRYPTION_KEYS": key,
        "FEED_READERS": msgspec.json.encode([reader]).decode(),
        "TOKENS_PER_MINUTE": "1000000",
    }


def _environment(prefix: str, settings: dict[str, str], **more: str) -> dict[str, str]:
    return {
        **{name: text for name, text in os.environ.items() if "TOLLGATE" not in name},
        **{f"{prefix}_{name}": text for name, text in (settings | more).items()},
    }
