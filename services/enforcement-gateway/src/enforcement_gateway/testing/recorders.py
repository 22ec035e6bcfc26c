"""Both ends of a connection without a socket: what is written to them is kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from enforcement_gateway.counters import Counters
from enforcement_gateway.turns import turn
from enforcement_gateway.upstream.answers import Answers
from enforcement_gateway.upstream.pool import Origin, Pool


class RecordingTransport:
    """The client's end. `on_write` is called whenever something was `written`."""

    def __init__(self) -> None:
        self.written = b""
        self.aborted = self.closed = False
        self.on_write: Callable[[], object] = lambda: None

    def get_extra_info(self, name: str) -> object:
        return ("192.0.2.1", 5) if name == "peername" else None

    def write(self, data: bytes) -> None:
        self.written += data
        self.on_write()

    def is_closing(self) -> bool:
        return self.closed

    @property
    def has_ended(self) -> bool:
        return self.closed or self.aborted

    def pause_reading(self) -> None:
        """Nothing comes but what a test sends."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True


class RecordingPool(Pool):
    """The upstream's end: nothing goes out. `sent` has requests, and whose each is."""

    def __init__(self) -> None:
        super().__init__(
            Origin.of("http://upstream.test"),
            Counters(),
            max_connections=1,
            connect_timeout=1.0,
            answer_timeout=1.0,
        )
        self.sent: list[tuple[bytes, Answers]] = []

    def send(self, request: bytes, answers: Answers) -> None:
        self.sent.append((request, answers))

    def send_each(self, requests: list[tuple[bytes, Answers]]) -> None:
        self.sent += requests


@contextmanager
def a_turn() -> Iterator[None]:
    """As when the loop hears whom the kernel told of."""
    turn.begin()
    try:
        yield
    finally:
        turn.end()
