"""One launcher at a time in a copy of the repository."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_stack.failures import CannotStart


def is_claimed(path: Path) -> bool:
    """Whether some process holds the lock file at `path` now."""
    try:
        with claim(path):
            return False
    except CannotStart:
        return True


@contextmanager
def claim(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`, or raise `CannotStart` naming who holds it.

    The kernel lets go of it when this process ends, however it ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise CannotStart(
                f"one is running in this copy (process {file.read().strip() or '?'}): "
                "use that one, or stop it with Ctrl-C"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
