"""What every server that runs here can be told to do."""

import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path

from local_stack.children import Child
from local_stack.failures import CannotStart

_POLL = 0.03
_TAIL_LINES = 15


class Server(ABC):
    """A program with a port and a folder, which it keeps over every restart.

    All methods block; from a coroutine call them through `asyncio.to_thread`.
    """

    name: str
    log: Path
    start_timeout: float = 60.0
    stop_timeout: float = 20.0
    _child: Child | None = None
    _retired = False

    def __init__(self) -> None:
        # Held while the program is started or told to stop, so that neither can
        # happen in the middle of the other.
        self._changing = threading.Lock()

    @abstractmethod
    def _launch(self) -> Child:
        """Start the program and return at once."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Ask the server, not the process table."""

    @property
    def pid(self) -> int | None:
        """The process to signal; None when none was started or it was stopped."""
        return self._child.pid if self._child else None

    def exit_code(self) -> int | None:
        """How the program ended by itself; None while it runs or after `stop`."""
        return self._child.exit_code() if self._child else None

    def is_running(self) -> bool:
        return self._child is not None and self._child.exit_code() is None

    def launch(self) -> None:
        """Start the program without waiting for it; nothing if it runs already."""
        with self._changing:
            if self._retired:
                raise CannotStart(f"{self.name} is told to stop")
            if not self.is_running():
                self._child = self._launch()

    def wait_until_ready(self) -> None:
        """Wait for the server to answer, or raise `CannotStart` with its last words."""
        deadline = time.monotonic() + self.start_timeout
        while not self.is_ready():
            if self._child is None:
                raise CannotStart(f"{self.name} was stopped before it answered")
            code = self.exit_code()
            if code is not None:
                raise CannotStart(f"{self.name} stopped ({code}){self._words()}")
            if time.monotonic() > deadline:
                raise CannotStart(
                    f"{self.name} did not answer within "
                    f"{self.start_timeout:.0f} s{self._words()}"
                )
            time.sleep(_POLL)

    def start(self) -> None:
        """Start the program and wait until it answers."""
        self.launch()
        self.wait_until_ready()

    def stop(self) -> bool:
        """Stop in order; whether it went without being killed."""
        child = self._take_child()
        return child.stop(self.stop_timeout) if child else True

    def retire(self) -> bool:
        """Stop in order and never start again, whoever may be about to."""
        self._retired = True
        return self.stop()

    def kill9(self) -> None:
        """SIGKILL. The next `start` finds what a power cut would have left."""
        child = self._take_child()
        if child:
            child.kill9()

    def discard(self) -> None:
        """End it for good without a care for its data."""
        self.kill9()

    def restart(self) -> None:
        """Stop in order and start again, on the same port and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, until `resume`."""
        if self._child:
            self._child.pause()

    def resume(self) -> None:
        if self._child:
            self._child.resume()

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """The end of its log."""
        try:
            text = self.log.read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _take_child(self) -> Child | None:
        with self._changing:
            child, self._child = self._child, None
            return child

    def _words(self) -> str:
        return f"; the end of {self.log}:\n{self.tail()}"
