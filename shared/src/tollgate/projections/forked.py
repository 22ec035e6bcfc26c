"""Work done in a copy of this process: it sees everything as it was when it began.

A fork stops the caller for the copying of its page tables, some milliseconds a
gigabyte. Whatever the copy then does costs the caller's loop nothing: neither the
interpreter's lock nor a copy of what is worked on.

The copy has one thread, and whatever locks other threads held are held for ever in it.
Its work must do with pure computing and files of its own.
"""

import gc
import os
import signal
import warnings
from collections.abc import Callable
from typing import NoReturn

from tollgate.background import in_thread

NICENESS = 10
"""The copy yields to whoever serves."""

ANSWER_END = 3
"""The only descriptor beyond the standard ones that the copy keeps."""

_DONE, _FAILED = b"+", b"-"


async def in_fork(work: Callable[[], bytes]) -> bytes:
    """What `work` returns when it is done in a copy made now.

    Whatever the copy meets is an `OSError` here: of the same kind if it was one there.
    Once begun it is waited for, also by a caller that is cancelled meanwhile.
    """
    pid, answers = _start(work)
    return await in_thread(_collect, pid, answers)


def _start(work: Callable[[], bytes]) -> tuple[int, int]:
    """The copy's process id, and the descriptor on which it will answer."""
    answers, answer_end = os.pipe()
    # A signal in the first moment would run our handlers in the copy.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = _fork()
        if pid == 0:
            _be_the_copy(work, answer_end)
    except OSError:
        os.close(answers)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.close(answer_end)
    return pid, answers


def _fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns of threads; the module says why this is no trouble here.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _be_the_copy(work: Callable[[], bytes], answer_end: int) -> NoReturn:
    status = 1
    try:
        gc.disable()  # it would write to every object, and so copy its page
        _let_go_of(answer_end)
        os.nice(NICENESS)
        try:
            answer = _DONE + work()
            status = 0
        except Exception as error:  # noqa: BLE001 - told to whoever forked
            number = error.errno if isinstance(error, OSError) else None
            answer = _FAILED + f"{number or 0} {type(error).__name__}: {error}".encode()
        with open(ANSWER_END, "wb") as pipe:
            pipe.write(answer)
    finally:
        os._exit(status)  # nothing of the caller's may run here, whatever happened


def _let_go_of(answer_end: int) -> None:
    """Keep neither signal handlers nor descriptors of the caller.

    A connection that the caller closes would stay open as long as the copy has it.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the caller, who ends well
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
    if answer_end != ANSWER_END:
        os.dup2(answer_end, ANSWER_END)
    os.closerange(ANSWER_END + 1, os.sysconf("SC_OPEN_MAX"))


def _collect(pid: int, answers: int) -> bytes:
    with open(answers, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    if answer[:1] != _DONE:
        number, _, reason = answer[1:].decode(errors="replace").partition(" ")
        raise OSError(int(number or 0), reason or "the fork ended without a word")
    return answer[1:]
