"""Work in a fork sees the moment it was begun in, and leaves its caller alone."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from tollgate.projections.forked import in_fork


async def test_it_returns_what_the_work_returned() -> None:
    assert await in_fork(lambda: b"x" * 200_000) == b"x" * 200_000


async def test_it_sees_everything_as_it_was_when_it_began() -> None:
    letters = ["a"]
    forked = asyncio.ensure_future(in_fork(lambda: "".join(letters).encode()))
    await asyncio.sleep(0)
    letters.append("b")
    assert await forked == b"a"


async def test_an_error_of_the_system_is_the_same_here() -> None:
    def work() -> bytes:
        raise FileNotFoundError(2, "no such file", "there")

    with pytest.raises(FileNotFoundError, match="there"):
        await in_fork(work)


async def test_any_other_failure_is_an_error_of_the_system() -> None:
    def work() -> bytes:
        raise KeyError("lost")

    with pytest.raises(OSError, match="KeyError: 'lost'"):
        await in_fork(work)


async def test_a_fork_that_is_killed_is_an_error() -> None:
    def work() -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b""

    with pytest.raises(OSError, match="without a word"):
        await in_fork(work)


async def test_it_keeps_no_connection_of_the_caller_open() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        descriptor = ours.fileno()

        def work() -> bytes:
            try:
                os.fstat(descriptor)
            except OSError:
                return b"closed"
            return b"open"

        assert await in_fork(work) == b"closed"


async def test_a_caller_that_is_cancelled_waits_for_it(tmp_path: Path) -> None:
    done = tmp_path / "done"

    def work() -> bytes:
        done.touch()
        return b""

    forked = asyncio.ensure_future(in_fork(work))
    await asyncio.sleep(0)
    forked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await forked
    assert list_of(tmp_path) == [done]


async def test_signals_reach_the_caller_as_before() -> None:
    received = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, received.set)
    try:
        await in_fork(lambda: b"")
        os.kill(os.getpid(), signal.SIGUSR1)
        async with asyncio.timeout(5):
            await received.wait()
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)


def list_of(folder: Path) -> list[Path]:
    return list(folder.iterdir())
