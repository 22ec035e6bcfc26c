"""A server from its first connection to its last."""

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from tollgate.http.addresses import parse_networks
from tollgate.http.health import Health
from tollgate.http.problems import problem_middleware
from tollgate.http.request_ids import name_requests
from tollgate.http.server import CannotListen, Listener, serve
from tollgate.testing.keys import signing_key
from tollgate.testing.waiting import until

LOOPBACK = "127.0.0.1"


class Handler:
    """Answers when it is let go."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.go = asyncio.Event()

    async def answer(self, _: web.Request) -> web.Response:
        self.entered.set()
        await self.go.wait()
        return web.Response(text="done")


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def application(handler: Handler) -> web.Application:
    application = web.Application(
        middlewares=[name_requests, problem_middleware({}, realm="tests")]
    )
    application.router.add_get("/slow", handler.answer)
    application.router.add_get("/things/{id}", _thing)
    health = Health(is_ready=lambda: True, metrics=CollectorRegistry())
    application.add_routes(health.routes())
    return application


async def _thing(_: web.Request) -> web.Response:
    return web.Response(text="thing")


@asynccontextmanager
async def served(
    application: web.Application, **options: object
) -> AsyncIterator[tuple[str, Callable[[], None], Awaitable[None]]]:
    """The URL of a running server, how to stop it, and its end."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    listener = Listener(host=LOOPBACK, port=0, **options)
    server = asyncio.create_task(
        serve(application, listener, on_listening=port.set_result)
    )
    await asyncio.wait({server, port}, return_when=asyncio.FIRST_COMPLETED)
    scheme = "http" if listener.tls_certificate is None else "https"
    yield (
        f"{scheme}://{LOOPBACK}:{await port}",
        lambda: signal.raise_signal(signal.SIGTERM),
        server,
    )
    if not server.done():
        signal.raise_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        await server


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class TestDraining:
    async def test_it_says_so_first_and_answers_what_it_has(
        self,
        application: web.Application,
        handler: Handler,
        session: aiohttp.ClientSession,
    ) -> None:
        async with served(application, drain_delay=timedelta(seconds=0.5)) as (
            url,
            stop,
            ended,
        ):
            under_way = asyncio.create_task(text_of(session, f"{url}/slow"))
            await handler.entered.wait()
            assert await status_of(session, f"{url}/readyz") == 200
            stop()
            await until(lambda: is_draining(session, url))
            assert await status_of(session, f"{url}/things/1") == 200
            assert await status_of(session, f"{url}/livez") == 200
            await until(lambda: is_closed(url))
            assert not under_way.done()
            handler.go.set()
            assert await under_way == (200, "done")
            await ended

    async def test_what_never_ends_is_cut_off(
        self,
        application: web.Application,
        handler: Handler,
        session: aiohttp.ClientSession,
    ) -> None:
        async with served(application, patience=timedelta(seconds=0.1)) as (
            url,
            stop,
            ended,
        ):
            under_way = asyncio.create_task(text_of(session, f"{url}/slow"))
            await handler.entered.wait()
            stop()
            async with asyncio.timeout(5):
                await ended
            with pytest.raises(aiohttp.ClientError):
                await under_way

    async def test_a_start_can_be_given_up(self, application: web.Application) -> None:
        left = asyncio.Event()

        async def never(_: web.Application) -> AsyncIterator[None]:
            signal.raise_signal(signal.SIGTERM)
            try:
                await asyncio.Event().wait()
            finally:
                left.set()
            yield

        application.cleanup_ctx.append(never)
        async with asyncio.timeout(5):
            await serve(application, Listener(host=LOOPBACK, port=0))
        assert left.is_set()

    async def test_what_ends_a_loop_beside_it_is_raised(
        self, application: web.Application
    ) -> None:
        async def failing(_: web.Application) -> AsyncIterator[None]:
            yield
            raise RuntimeError("the loop has failed")

        application.cleanup_ctx.append(failing)
        with pytest.raises(RuntimeError, match="the loop has failed"):
            async with served(application):
                pass


class TestListening:
    async def test_a_port_that_is_taken_is_one_line(
        self, application: web.Application
    ) -> None:
        with socket.create_server((LOOPBACK, 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(CannotListen, match=f"cannot listen on .*:{port}: "):
                await serve(application, Listener(host=LOOPBACK, port=port))

    async def test_tls(
        self,
        application: web.Application,
        session: aiohttp.ClientSession,
        tmp_path: Path,
    ) -> None:
        certificate, private_key = write_certificate(tmp_path)
        trust = ssl.create_default_context(cafile=str(certificate))
        async with (
            served(
                application, tls_certificate=certificate, tls_private_key=private_key
            ) as (url, _, _),
            session.get(f"{url}/livez", ssl=trust) as answer,
        ):
            assert answer.status == 200

    def test_a_listener_that_cannot_be_meant(self) -> None:
        with pytest.raises(ValueError, match="both"):
            Listener(host=LOOPBACK, port=0, tls_certificate=Path("x.pem"))
        with pytest.raises(ValueError, match="drain_delay"):
            Listener(host=LOOPBACK, port=0, drain_delay=timedelta(minutes=1))

    async def test_a_certificate_that_is_none_is_one_line(
        self, application: web.Application, tmp_path: Path
    ) -> None:
        for content in ("", "rubbish"):
            path = tmp_path / "file.pem"
            path.write_text(content)
            listener = Listener(
                host=LOOPBACK, port=0, tls_certificate=path, tls_private_key=path
            )
            with pytest.raises(CannotListen, match="certificate"):
                await serve(web.Application(), listener)

    async def test_no_version_is_told(
        self, application: web.Application, session: aiohttp.ClientSession
    ) -> None:
        async with served(application) as (url, _, _):
            for path in ("/livez", "/nowhere"):
                async with session.get(url + path) as answer:
                    assert answer.headers["Server"] == "tollgate"
                    assert "Date" in answer.headers


class TestAccessLog:
    async def test_a_request_is_one_line_without_what_was_sent(
        self, application: web.Application, session: aiohttp.ClientSession
    ) -> None:
        with capture_logs() as lines:
            async with served(
                application, trusted_proxies=parse_networks(["127.0.0.0/8"])
            ) as (url, _, _):
                await status_of(
                    session,
                    f"{url}/things/s3cret?token=s3cret",
                    headers={
                        "X-Forwarded-For": "192.0.2.7",
                        "X-Request-Id": "mine",
                        "Authorization": "Bearer s3cret",
                        "Referer": "s3cret",
                    },
                )
                await status_of(session, f"{url}/livez")
                await status_of(session, f"{url}/s3cret")
        answered = [line for line in lines if line["event"] == "request answered"]
        assert [(line["route"], line["status"]) for line in answered] == [
            ("/things/{id}", 200),
            ("unknown", 404),
        ]
        assert answered[0]["client"] == "192.0.2.7"
        assert answered[0]["request_id"] == "mine"
        assert answered[0]["method"] == "GET"
        assert "s3cret" not in str(lines)

    async def test_what_is_no_http_makes_no_noise(
        self, application: web.Application, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG), capture_logs() as lines:
            async with served(application) as (url, _, _):
                port = int(url.rpartition(":")[2])
                for rubbish in (b"s3cret\r\n\r\n", b"GET / HTTP/1.1\r\ns3cret\r\n\r\n"):
                    reader, writer = await asyncio.open_connection(LOOPBACK, port)
                    writer.write(rubbish)
                    async with asyncio.timeout(5):
                        assert b" 400 " in await reader.readline()
                    writer.close()
        malformed = [line for line in lines if line["event"] == "request malformed"]
        assert [(line["status"], line["client"]) for line in malformed] == [
            (400, LOOPBACK),
            (400, LOOPBACK),
        ]
        assert "s3cret" not in str(lines)
        assert "s3cret" not in caplog.text
        assert [
            record for record in caplog.records if record.levelno >= logging.WARNING
        ] == []


async def text_of(session: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    async with session.get(url) as answer:
        return answer.status, await answer.text()


async def status_of(session: aiohttp.ClientSession, url: str, **options: object) -> int:
    async with session.get(url, **options) as answer:
        return answer.status


async def is_draining(session: aiohttp.ClientSession, url: str) -> bool:
    return await text_of(session, f"{url}/readyz") == (503, "draining\n")


async def is_closed(url: str) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, int(url.rpartition(":")[2]))
    except (ConnectionRefusedError, ConnectionResetError):  # the latter as it closes
        return True
    writer.close()
    return False


def write_certificate(folder: Path) -> tuple[Path, Path]:
    key = signing_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, LOOPBACK)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public.key)
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK))]),
            critical=False,
        )
        .sign(key._private, SHA256())
    )
    paths = folder / "certificate.pem", folder / "private_key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_text(key.to_pem())
    return paths
