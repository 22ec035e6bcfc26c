"""Both ends of an HTTP connection as bytes, so that tests can say what they like."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

PATIENCE = 10.0
"""Seconds until a test that waits for bytes fails."""

OK_BODY = b'{"success": true}'
OK = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n"
    + OK_BODY
)


@dataclass(frozen=True)
class Message:
    """A request or an answer. Names of `fields` are as they came."""

    start_line: str
    fields: list[tuple[str, str]]
    body: bytes

    @property
    def status(self) -> int:
        return int(self.start_line.split(" ")[1])

    def all(self, name: str) -> list[str]:
        """The values of every field of that name, in any case."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def __getitem__(self, name: str) -> str:
        """The one field of that name."""
        (value,) = self.all(name)
        return value

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))


class ConnectionEnded(Exception):
    """The other side closed or reset the connection; `rest` is what it sent before."""

    def __init__(self, rest: bytes) -> None:
        super().__init__(f"the connection ended after {rest[-200:]!r}")
        self.rest = rest


async def read_message(
    reader: asyncio.StreamReader, *, until_close: bool = False
) -> Message:
    """The next message, or `ConnectionEnded`. It must be framed as it should be.

    `until_close`: one that tells no length lasts as long as the connection.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
            start_line, *lines = head[:-4].decode("latin-1").split("\r\n")
            parted = [line.partition(":") for line in lines]
            fields = [(name, value.strip(" \t")) for name, _, value in parted]
            message = Message(start_line, fields, b"")
            body = await _read_body(reader, message, until_close=until_close)
    except asyncio.IncompleteReadError as error:
        raise ConnectionEnded(error.partial) from error
    except ConnectionError as error:
        raise ConnectionEnded(b"") from error
    return Message(start_line, fields, body)


async def _read_body(
    reader: asyncio.StreamReader, message: Message, *, until_close: bool
) -> bytes:
    if "Transfer-Encoding" in message:
        body = b""
        while size := int((await reader.readuntil(b"\r\n"))[:-2], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
        return body
    if "Content-Length" in message:
        return await reader.readexactly(int(message["Content-Length"]))
    return await reader.read(-1) if until_close else b""


class RawClient:
    """A client that sends what it is told, to the byte."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int, **options: object) -> "RawClient":
        """`options` are those of `asyncio.open_connection`, such as `ssl`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)  # type: ignore[arg-type]
        return cls(reader, writer)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, until_close: bool = False) -> Message:
        return await read_message(self.reader, until_close=until_close)

    async def ask(self, data: bytes) -> Message:
        await self.send(data)
        return await self.answer()

    async def rest(self) -> bytes:
        """What comes until the other side ends the connection."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read(-1)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):  # the other side may have been first
            await self.writer.wait_closed()


@dataclass
class Served:
    """One connection to the upstream, for whoever answers on it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


Answering = Callable[[Message, Served], Awaitable[None]]


async def answer_ok(_: Message, served: Served) -> None:
    await served.send(OK)


@dataclass
class ScriptedUpstream:
    """An upstream that answers with any bytes, and keeps what it was sent.

    `answering` is called for each request; whatever it does, the next one is read
    from the same connection as long as that is open.
    """

    answering: Answering = answer_ok
    requests: list[Message] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0
    _server: asyncio.Server | None = None
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something about the requests or connections holds."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(condition)

    def answer_with(self, *answers: bytes, then_close: bool = False) -> None:
        """Answer the next requests with these bytes, the last one again and again."""
        waiting = list(answers)

        async def next_answer(_: Message, served: Served) -> None:
            answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            await served.send(answer)
            if then_close:
                served.writer.close()

        self.answering = next_answer

    async def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        await self._count(connections=1, open_connections=1)
        served = Served(reader, writer)
        try:
            while True:
                request = await read_message(reader)
                self.requests.append(request)
                await self._count()
                await self.answering(request, served)
        except (ConnectionEnded, ConnectionError, TimeoutError):
            pass
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            self._tasks.discard(task)
            writer.close()
            await self._count(open_connections=-1)

    async def _count(self, connections: int = 0, open_connections: int = 0) -> None:
        async with self._news:
            self.connections += connections
            self.open_connections += open_connections
            self._news.notify_all()
