"""A whole stack in a copy of its own, as `make run` starts it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local_stack.ledger import (
    ProcessIdentity,
    descendants,
    wait_until_gone,
)
from local_stack.memory import Memory, recall
from local_stack.rabbitmq_installation import ensure_installation

LOCAL = Path(__file__).parents[2] / ".local"
READY = "Ctrl-C stops it"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 40.0


class Launcher:
    """One `python -m local_stack run` in a copy of its own."""

    def __init__(self, copy: Path, **environment: str) -> None:
        self._screen = copy / "screen"
        with self._screen.open("wb") as screen:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "local_stack", "run"],
                cwd=copy,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=screen,
                stderr=subprocess.STDOUT,
            )
        self._memory = copy / ".local/state/memory.json"

    @property
    def screen(self) -> str:
        return self._screen.read_text()

    @property
    def memory(self) -> Memory:
        return recall(self._memory)

    def family(self) -> list[ProcessIdentity]:
        return descendants(self.process.pid)

    def wait_for(self, text: str, timeout: float = START_TIMEOUT) -> None:
        def told() -> bool:
            shown = text in self.screen
            assert shown or self.process.poll() is None, self.screen
            return shown

        wait_until(told, timeout, lambda: self.screen)

    def stop(self, signum: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(signum)
        return self.process.wait(STOP_TIMEOUT)


def wait_until(
    condition: Callable[[], bool], timeout: float, evidence: Callable[[], str]
) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, evidence()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def make_copy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Folders that share nothing but the unpacked RabbitMQ."""
    ensure_installation(LOCAL / "rabbitmq")

    def make() -> Path:
        copy = tmp_path_factory.mktemp("copy")
        (copy / ".local").mkdir()
        (copy / ".local/rabbitmq").symlink_to(LOCAL / "rabbitmq")
        return copy

    return make


@contextmanager
def running(copy: Path, **environment: str) -> Iterator[Launcher]:
    """A launcher that is ready; leaves no process behind, or the test fails."""
    launcher = Launcher(copy, **environment)
    try:
        launcher.wait_for(READY)
        family = launcher.family()
        yield launcher
    finally:
        if launcher.process.poll() is None:
            launcher.stop()
    assert wait_until_gone(family, timeout=15), launcher.screen
