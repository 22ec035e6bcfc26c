"""Requests that are answered in front of an application.

For the one kind that comes by the thousand: a request object, a task, a response and
the layers of an application cost several times what its answer does. Such a request is
answered from its head and body as aiohttp's connection has read them, and by callbacks.
Whatever is not plainly of that kind, and whatever is not to be answered with success,
is left to the application as if nothing had been there.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, cast

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import StreamReader

from tollgate.http.familiar_heads import FamiliarHeads

Head: TypeAlias = RawRequestMessage

_Message: TypeAlias = tuple[RawRequestMessage | Any, StreamReader]

Remind: TypeAlias = Callable[[web.Request], object]
"""Tells the application's request what was found out about it in front."""

PATIENCE_FOR_A_BODY = 0.1
"""Seconds. Many clients send it right after the head; the application waits longer."""


class Asking(Protocol):
    """A request that the front would answer."""

    def begin(self, body: bytes) -> None:
        """Call `answer` or `leave` of the connection, now or later, and once."""
        ...


class Kind(Protocol):
    """What a front has understood of a head, and of each that is the same."""

    def asking(self, connection: "Connection") -> Asking:
        """A request that begins with it."""
        ...


class Front(Protocol):
    def kind_of(self, head: Head) -> Kind | None:
        """Of a request that begins with `head`, unless it is the application's."""
        ...


FRONT = web.AppKey("front", Front)


class FrontRunner(web.AppRunner):
    """Lets the `FRONT` of the application see its requests first, if it has one."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        front = self.app.get(FRONT)
        return server if front is None else _Server(server, front)


class _Server(web.Server):
    def __init__(self, of: web.Server, front: Front) -> None:
        self._front = front
        self.heads = FamiliarHeads[Kind]()
        super().__init__(
            of.request_handler,
            request_factory=of.request_factory,
            **of._kwargs,  # noqa: SLF001 - as the application was configured
        )

    def __call__(self) -> "Connection":
        return Connection(self, self._front, self._kwargs)


class Connection(web.RequestHandler):
    """aiohttp's, whose task sees nothing of a request that is answered in front.

    A request is taken when aiohttp has none to answer, and those that are read before
    it is answered wait: answers go out in order. One whose head is familiar is not read
    by aiohttp's parser at all, unless that has begun with something else.
    """

    __slots__ = (
        "_asking",
        "_body_timer",
        "_familiar",
        "_front",
        "_held",
        "_is_at_work",
        "_is_between",
        "_remind",
        "_serving",
        "_taken",
        "remote",
    )

    _taken: _Message

    def __init__(
        self, server: "_Server", front: Front, settings: dict[str, Any]
    ) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **settings)
        self._serving = server
        self._front = front
        self._is_at_work = False  # aiohttp, that is
        self._is_between = True  # the parser, two requests, and surely so
        self._asking: Asking | None = None
        self._familiar: Head | None = None
        """Of the request in front, if the parser has not seen it."""
        self._body_timer: asyncio.TimerHandle | None = None
        self._held: list[_Message] = []
        self._remind: Remind | None = None
        self.remote: str | None = None
        """The address of the peer, as its requests have it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = self.peername
        self.remote = str(peer[0]) if isinstance(peer, list | tuple) else peer

    def answer(self, octets: bytes) -> None:
        """Write a whole answer of HTTP/1.1, which keeps the connection."""
        self._have_done()
        if self._familiar is not None:
            self._familiar = None
        elif self._parser is not None:
            self._parser.message_consumed()
        if self.transport is not None:
            self.transport.write(octets)
            if self._close or self._force_close:
                self.transport.close()
            elif self._held:
                self._leave_what_was_read([])

    def leave(self, remind: Remind | None = None) -> None:
        """Leave the request to the application, whether or not its client waits."""
        self._asking = None
        self._remind = remind
        if self._familiar is not None:
            self._taken = self._as_parsed(self._familiar)
            self._familiar = None
        if self._is_to_end or self.transport is None:
            # aiohttp's task goes on with nothing more; a shutdown waits for this one.
            self._task_handler = self._loop.create_task(self._serve_the_last())
        else:
            self._request_in_progress = False
            self._leave_what_was_read([self._taken])

    def _as_parsed(self, head: Head) -> _Message:
        """With its body read, as that was when the front was given it."""
        body = StreamReader(self, self._read_bufsize, loop=self._loop)
        body.feed_eof()
        return head, body

    @property
    def _is_to_end(self) -> bool:
        return self._close or self._force_close

    def _have_done(self) -> None:
        """Nothing is in front any more, and nobody has to wait for it."""
        self._asking = None
        self._request_in_progress = False
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)

    def close(self) -> None:
        """Close when all that was begun with is answered."""
        task = self._task_handler
        is_awake = self._waiter is None and task is not None and not task.done()
        if self._asking is not None and is_awake:
            # That task is about to go on from the answer before: then it would close.
            self._loop.call_soon(self.close)
            return
        super().close()

    def data_received(self, data: bytes) -> None:
        if self._is_at_work:
            self._is_between = False
            super().data_received(data)
            return
        is_between = self._is_between and self._asking is None
        if is_between and self._is_familiar(data):
            return
        self._is_between = False
        sleeper, self._waiter = self._waiter, None  # what is read wakes nobody yet
        try:
            super().data_received(data)
        finally:
            self._waiter = sleeper
        if self._asking is None:
            if self._messages:
                self._take_or_leave(data if is_between else b"")
            return
        if self._messages:
            self._held += self._messages
            self._messages.clear()
            self._pause_reading_for_buffer()  # aiohttp resumes it
        if self._body_timer is not None:
            self._begin_or_wait()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Whoever reads a body calls this; mostly there is nothing to resume."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._body_timer is not None:  # the rest of it will never come
            self._stop_waiting_for_the_body()
            self._have_done()
        last = self._last_of_those_woken_for()
        if last is not None:
            self._task_handler = last  # so that a shutdown waits for it
        super().connection_lost(exc)
        if last is not None:
            self._task_handler = last

    def _last_of_those_woken_for(self) -> "asyncio.Task[None] | None":
        """Serves what aiohttp's task has been told of and not begun with, if it is all
        there. That task itself would fail: it has no more to do it with.
        """
        if not self._messages or self._waiter is None or self._task_handler is None:
            return None
        self._task_handler.cancel()
        head, body = self._taken = self._messages.popleft()
        if not isinstance(head, RawRequestMessage) or not body.is_eof():
            return None
        return self._loop.create_task(self._serve_the_last())

    async def _handle_request(self, request: Any, *args: Any) -> Any:  # noqa: ANN401 - as aiohttp has it
        remind, self._remind = self._remind, None
        if remind is not None:
            remind(request)
        try:
            return await super()._handle_request(request, *args)
        finally:
            self._is_at_work = bool(self._messages)

    def _is_familiar(self, octets: bytes) -> bool:
        """Whether they are a request that was taken, without the help of a parser."""
        found = self._serving.heads.read(octets)
        if found is None or self._close or self._force_close or self._paused:
            return False
        familiar, body = found
        self._familiar = familiar.head
        self._take(familiar.kind).begin(body)
        return True

    def _take_or_leave(self, octets: bytes) -> None:
        """`octets` are all that the parser has read since it was between two requests,
        or nothing if that is not known.
        """
        head, body = message = self._messages[0]
        kind = None
        if (
            isinstance(head, RawRequestMessage)
            and len(self._messages) == 1
            and not self._paused  # else answers pile up
        ):
            kind = self._front.kind_of(head)
        if kind is None:
            self._leave_what_was_read([])
            return
        self._messages.clear()
        self._taken = message
        self._take(kind)
        if octets and body.is_eof():
            heads = self._serving.heads
            self._is_between = heads.learn(octets, cast(Head, head), kind)
        self._begin_or_wait()

    def _take(self, kind: Kind) -> Asking:
        asking = self._asking = kind.asking(self)
        self._request_in_progress = True  # so that a shutdown waits for the answer
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        return asking

    def _begin_or_wait(self) -> None:
        _, body = self._taken
        if body.is_eof():
            self._stop_waiting_for_the_body()
            if self._asking is not None:
                self._asking.begin(body.read_nowait())
        elif self._body_timer is None:
            self._body_timer = self._loop.call_later(
                PATIENCE_FOR_A_BODY, self._leave_unread
            )

    def _leave_unread(self) -> None:
        self._body_timer = None
        self.leave()

    def _stop_waiting_for_the_body(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _leave_what_was_read(self, first: Sequence[_Message]) -> None:
        """Let aiohttp answer `first` and what was read after it."""
        self._is_at_work = True
        self._messages.extend([*first, *self._held])
        self._held.clear()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _serve_the_last(self) -> None:
        """For aiohttp's task, which goes on with nothing when it is to close.

        What was read behind it is not answered, as aiohttp has it when it is told so.
        Who has hung up is served as well: else whoever does that before the answer
        could fail as often as they like, and nobody would count it.
        """
        head, body = self._taken
        task = cast("asyncio.Task[None]", asyncio.current_task())
        request = self._serving.request_factory(
            cast(Head, head), body, self, StreamWriter(self, self._loop), task
        )
        handler = self._serving.request_handler
        await self._handle_request(request, self._loop.time(), handler)
        if self.transport is not None:
            self.transport.close()
