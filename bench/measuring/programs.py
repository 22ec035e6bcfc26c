"""Programs that are measured or that measure: started, waited for, ended."""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from local_stack.children import Child
from local_stack.ledger import Ledger
from local_stack.ports import LOOPBACK
from local_stack.server import Server

_PROBE_SECONDS = 1.0


class Program(Server):
    """Any program that listens on a port of 127.0.0.1.

    `inside` is what its command begins with: `Cores.command_under_test`, say.
    """

    start_timeout = 20.0

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        port: int,
        log: Path,
        ledger: Ledger,
        environment: Mapping[str, str],
        inside: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.name = name
        self.port = port
        self.log = log
        self._command = command
        self._ledger = ledger
        self._environment = environment
        self._inside = inside

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        if not self.is_running():
            return False
        try:
            socket.create_connection((LOOPBACK, self.port), _PROBE_SECONDS).close()
        except OSError:
            return False
        return True

    def _launch(self) -> Child:
        return Child(
            self.name,
            self._command,
            log=self.log,
            ledger=self._ledger,
            environment=self._environment,
            directory=self.log.parent,
            inside=self._inside,
        )
