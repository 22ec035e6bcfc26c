"""One of our own programs: started as a module, ready when it says so over HTTP."""

import os
import sys
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from local_stack.children import Child
from local_stack.ledger import Ledger
from local_stack.ports import LOOPBACK
from local_stack.server import Server

_PROBE_TIMEOUT = 2


class ServiceProcess(Server):
    """Runs `python -m <module> <arguments>` and asks `/readyz` on `health_port`."""

    stop_timeout = 30.0

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str] = ("serve",),
        *,
        log: Path,
        ledger: Ledger,
        environment: Mapping[str, str],
        health_port: int,
    ) -> None:
        super().__init__()
        self.name = name
        self.log = log
        self._command = [sys.executable, "-m", module, *arguments]
        self._ledger = ledger
        # Whatever else is set for the service in our own environment reaches it.
        self._environment = {**os.environ, **environment}
        self._health_port = health_port

    def is_ready(self) -> bool:
        connection = HTTPConnection(LOOPBACK, self._health_port, timeout=_PROBE_TIMEOUT)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200  # noqa: PLR2004
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def _launch(self) -> Child:
        return Child(
            self.name,
            self._command,
            log=self.log,
            ledger=self._ledger,
            environment=self._environment,
        )
