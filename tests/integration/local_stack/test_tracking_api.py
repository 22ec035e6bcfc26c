"""The stand-in keeps what it was sent before it says so."""

import base64
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientSession, web
from yarl import URL

from local_stack.tracking_api import AcceptedRequest, create_application


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "events.ndjson"


@pytest.fixture
async def client(log: Path) -> AsyncIterator[ClientSession]:
    runner = web.AppRunner(create_application(log), auto_decompress=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    async with ClientSession(f"http://{host}:{port}") as session:
        yield session
    await runner.cleanup()


def lines(log: Path) -> list[AcceptedRequest]:
    return msgspec.json.Decoder(AcceptedRequest).decode_lines(log.read_bytes())


async def test_a_batch_is_kept_with_its_message_ids(
    client: ClientSession, log: Path
) -> None:
    body = b'{"writeKey":"k","batch":[{"messageId":"a"},{"messageId":"b"},{}]}'
    path = URL("/v1/batch?x=%31", encoded=True)  # else the client tidies it
    async with client.post(path, data=body) as answer:
        assert answer.status == 200
        assert await answer.json() == {"success": True}
        (line,) = lines(log)

    assert line.path == "/v1/batch?x=%31"
    assert line.message_ids == ("a", "b")
    assert bytes(line.body) == body


async def test_every_gzip_member_is_read(client: ClientSession, log: Path) -> None:
    body = gzip.compress(b'{"messageId":') + gzip.compress(b'"a"}')
    headers = {"Content-Encoding": "gzip", "X-Client": "app_1"}
    await client.post("/v1/track", data=body, headers=headers)

    (line,) = lines(log)
    assert line.message_ids == ("a",)
    assert line.headers["x-client"] == "app_1"


@pytest.mark.parametrize("body", [b"", b"\xff", b'{"a":"\xff"}', b"{", b"form=1"])
async def test_what_is_not_json_is_kept_as_it_came(
    client: ClientSession, log: Path, body: bytes
) -> None:
    await client.post("/v1/track", data=body)
    (line,) = lines(log)
    assert bytes(line.body) == b"null"
    assert base64.b64decode(line.body_base64 or "") == body


async def test_events_are_given_back(client: ClientSession, log: Path) -> None:
    await client.get("/v1/pixel/track?data=e30")
    await client.post("/v1/track", json={"messageId": "a"})
    async with client.get("/events") as answer:
        given = await answer.read()
    given_back = msgspec.json.Decoder(AcceptedRequest).decode_lines(given)
    assert given_back == lines(log)
    assert [line.method for line in given_back] == ["GET", "POST"]
