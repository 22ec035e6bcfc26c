"""Programs started here, which end when we do.

Each child leads a session of its own, so that Ctrl-C in a terminal reaches the
launcher alone, which then stops its children in order. If the launcher dies without a
word, the kernel signals its children (PR_SET_PDEATHSIG, set by setpriv), and the ledger
lets the next launcher end what is still there.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local_stack.ledger import (
    Ledger,
    ProcessIdentity,
    descendants,
    identify,
    wait_until_gone,
)

_DEATH_TIMEOUT = 10.0

# The kernel ties PR_SET_PDEATHSIG to the thread that forked, not to its process. One
# thread that lives as long as the process starts everything, so that a child may be
# asked for from any thread, however short-lived.
_forker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forker")


class Child:
    """One running program. A stopped one is not started again: make another."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        ledger: Ledger,
        environment: Mapping[str, str],
        directory: Path = Path("/"),
        stop_signal: signal.Signals = signal.SIGTERM,
        inside: Sequence[str] = (),
    ) -> None:
        """Start `command`, writing what it prints to the end of `log`.

        `inside` is a command to run it with: under another identity, say.
        """
        self.name = name
        self._stop_signal = stop_signal
        self._ledger = ledger
        line = [*inside, *_tied_to_us(stop_signal), *map(str, command)]
        with log.open("ab") as output:
            self._process = _forker.submit(
                subprocess.Popen[bytes],
                line,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=directory,
                start_new_session=True,
            ).result()
        ledger.record(name, self.pid, stop_signal)

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; as in `subprocess`, minus the signal that ended it."""
        code = self._process.poll()
        if code is not None:
            self._ledger.forget(self.pid)
        return code

    def stop(self, timeout: float) -> bool:
        """Ask it to stop and wait; kill what is left after `timeout` seconds.

        Whether it stopped by itself.
        """
        family = self._family()
        if self.exit_code() is None:
            self.resume()
            self._signal(self._stop_signal)
        try:
            self._process.wait(timeout)
            stopped = wait_until_gone(family, _DEATH_TIMEOUT)
        except subprocess.TimeoutExpired:
            stopped = False
        if not stopped:
            self._kill(family)
        self._ledger.forget(self.pid)
        return stopped

    def kill9(self) -> None:
        """SIGKILL it with all its descendants, as a machine that loses power does."""
        self._kill(self._family())
        self._ledger.forget(self.pid)

    def pause(self) -> None:
        """SIGSTOP it with all its descendants: hung, but not dead."""
        self._signal(signal.SIGSTOP)  # first, so that it starts no more children
        for member in descendants(self.pid):
            member.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        for member in descendants(self.pid):
            member.send(signal.SIGCONT)
        self._signal(signal.SIGCONT)

    def _family(self) -> list[ProcessIdentity]:
        own = identify(self.pid)
        return [*([own] if own else []), *descendants(self.pid)]

    def _kill(self, family: list[ProcessIdentity]) -> None:
        self._signal(signal.SIGKILL)
        for member in family:
            member.send(signal.SIGKILL)
        self._process.wait(_DEATH_TIMEOUT)
        wait_until_gone(family, _DEATH_TIMEOUT)

    def _signal(self, signum: signal.Signals) -> None:
        if self._process.poll() is None:
            os.kill(self.pid, signum)


def _tied_to_us(stop_signal: signal.Signals) -> list[str]:
    setpriv = shutil.which("setpriv")  # util-linux, on every Debian
    return [setpriv, f"--pdeathsig={stop_signal.name}", "--"] if setpriv else []
