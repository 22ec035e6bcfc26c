"""A private RabbitMQ node with an epmd of its own, on free ports of 127.0.0.1."""

import secrets
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec

from local_stack.children import Child
from local_stack.failures import CannotStart
from local_stack.ledger import Ledger
from local_stack.ports import LOOPBACK, free_ports
from local_stack.rabbitmq_definitions import OPERATOR, SERVICES, definitions
from local_stack.rabbitmq_installation import Installation
from local_stack.server import Server

_NODE = "tollgate@localhost"
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"  # AMQP 0-9-1 §4.2.2
_METHOD_FRAME = b"\x01"
_CTL_TIMEOUT = 60
_DEAF_AT_MOST = 5.0
_POLL = 0.02
# On loopback only, and never starting an epmd: ours is there, and one that Erlang
# starts is a daemon that outlives everything.
_KERNEL_ARGUMENTS = "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false"


class Ports(msgspec.Struct, frozen=True):
    """What a node listens on; kept over restarts."""

    amqp: int
    distribution: int
    epmd: int

    @classmethod
    def free(cls) -> "Ports":
        return cls(*free_ports(3))


class RabbitMQ(Server):
    """One node. `directory` holds its data, passwords and logs, and is made if missing.

    A queue declared in the last second before `kill9` can be lost with its messages
    (RabbitMQ 3.10 flushes its index of quorum queues only after half a second of rest):
    wait two seconds between declaring durable queues and killing.
    """

    name = "RabbitMQ"

    def __init__(
        self,
        directory: Path,
        *,
        installation: Installation,
        ledger: Ledger,
        ports: Ports | None = None,
        virtual_hosts: Sequence[str] = ("/",),
    ) -> None:
        super().__init__()
        self.directory = directory
        self.ports = ports or Ports.free()
        self.log = directory / "log" / f"{_NODE}.log"
        self._pid_file = directory / "pid"
        self._console = directory / "log" / "console.log"
        self._installation = installation
        self._ledger = ledger
        self._virtual_hosts = virtual_hosts
        self._passwords = _passwords_in(directory)
        self._epmd: Child | None = None

    @property
    def url(self) -> str:
        """As the operator, who may do anything, in the virtual host `/`."""
        return self.url_of(OPERATOR)

    def url_of(self, user: str, virtual_host: str = "/") -> str:
        """`user` is the operator or a service: app-registry, token-issuer, …"""
        password = self._passwords[user]
        where = quote(virtual_host, safe="")
        return f"amqp://{user}:{password}@{LOOPBACK}:{self.ports.amqp}/{where}"

    def is_ready(self) -> bool:
        """Whether it opens an AMQP connection: a listening port alone does not say."""
        try:
            with socket.create_connection((LOOPBACK, self.ports.amqp), 1) as connection:
                connection.settimeout(5)
                connection.sendall(_PROTOCOL_HEADER)
                return connection.recv(1) == _METHOD_FRAME
        except OSError:
            return False

    def add_virtual_hosts(self, names: Sequence[str]) -> None:
        """Make virtual hosts with the exchanges and everyone's permissions."""
        path = self.directory / "added.json"
        path.write_bytes(definitions(names, self._passwords).encode())
        self.ctl("import_definitions", str(path))

    def ctl(self, *arguments: str) -> str:
        """What `rabbitmqctl` answers; costs most of a second of CPU."""
        done = subprocess.run(
            [self._installation.server / "sbin" / "rabbitmqctl", *arguments],
            check=False,
            env=self._environment(),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_CTL_TIMEOUT,
        )
        if done.returncode:
            raise CannotStart(f"rabbitmqctl {arguments[0]} failed:\n{done.stdout}")
        return done.stdout

    def stop(self) -> bool:
        """The node first, epmd second: a node that misses its epmd starts another."""
        self._wait_until_it_can_be_stopped()
        stopped = super().stop()
        with self._changing:
            epmd, self._epmd = self._epmd, None
        return (epmd.stop(self.stop_timeout) if epmd else True) and stopped

    def discard(self) -> None:
        self.kill9()
        self.stop()

    def tail(self, lines: int = 15) -> str:
        """A node that fails early says so on its console, later in its log."""
        console = self._console.read_text(errors="replace").splitlines()
        return "\n".join([*console[-lines:], super().tail(lines)])

    def _launch(self) -> Child:
        self._prepare()
        if self._epmd is None or self._epmd.exit_code() is not None:
            self._epmd = self._launch_epmd()
        return Child(
            self.name,
            [self._installation.server / "sbin" / "rabbitmq-server"],
            log=self._console,
            ledger=self._ledger,
            environment=self._environment(),
            directory=self.directory,
        )

    def _launch_epmd(self) -> Child:
        return Child(
            "epmd",
            [
                self._installation.runtime / "epmd",
                "-port",
                str(self.ports.epmd),
                "-address",
                LOOPBACK,
            ],
            log=self._console,
            ledger=self._ledger,
            environment={},
        )

    def _wait_until_it_can_be_stopped(self) -> None:
        """Erlang loses a SIGTERM in its first quarter of a second.

        The node writes the file with its process id once it listens to signals.
        """
        deadline = time.monotonic() + _DEAF_AT_MOST
        while self.is_running() and not self._pid_file.exists():
            if time.monotonic() > deadline:
                return
            time.sleep(_POLL)

    def _prepare(self) -> None:
        """Write everything the node reads at boot."""
        for folder in ("home", "data", "log", "bin"):
            (self.directory / folder).mkdir(exist_ok=True)
        _keep_secret(self.directory / "home" / ".erlang.cookie", secrets.token_hex(20))
        (self.directory / "definitions.json").write_bytes(
            definitions(self._virtual_hosts, self._passwords).encode()
        )
        (self.directory / "enabled_plugins").write_text("[].\n")
        (self.directory / "rabbitmq.conf").write_text(self._configuration())
        self._write_erl()
        self._pid_file.unlink(missing_ok=True)

    def _configuration(self) -> str:
        return f"""\
listeners.tcp.local = {LOOPBACK}:{self.ports.amqp}
load_definitions = {self.directory / "definitions.json"}
vm_memory_high_watermark.absolute = 1GB
log.console = false
log.file.level = info
"""

    def _write_erl(self) -> None:
        """An `erl` for where Erlang is; Debian's own expects itself in /usr/lib."""
        script = self.directory / "bin" / "erl"
        libraries = ":".join(map(str, self._installation.libraries))
        script.write_text(f"""\
#!/bin/sh
export ROOTDIR='{self._installation.erlang}' BINDIR='{self._installation.runtime}'
export EMU=beam PROGNAME=erl LD_LIBRARY_PATH='{libraries}'
exec "$BINDIR/erlexec" "$@"
""")
        script.chmod(0o755)

    def _environment(self) -> dict[str, str]:
        here = self.directory
        return {
            "PATH": f"{here}/bin:{self._installation.runtime}:/usr/bin:/bin",
            "HOME": f"{here}/home",  # its cookie, not the user's
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "RUNNING_UNDER_SYSTEMD": "true",  # become the node, no shell in between
            "RABBITMQ_NODENAME": _NODE,
            "RABBITMQ_NODE_PORT": str(self.ports.amqp),
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_DIST_PORT": str(self.ports.distribution),
            "RABBITMQ_MNESIA_BASE": f"{here}/data",
            "RABBITMQ_LOG_BASE": f"{here}/log",
            "RABBITMQ_CONFIG_FILE": f"{here}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{here}/advanced.config",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",  # else the one in /etc counts
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/enabled_plugins",
            "RABBITMQ_PID_FILE": str(self._pid_file),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _KERNEL_ARGUMENTS,
            "RABBITMQ_CTL_ERL_ARGS": _KERNEL_ARGUMENTS,
            "ERL_EPMD_PORT": str(self.ports.epmd),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_CRASH_DUMP": "/dev/null",
            "ERL_CRASH_DUMP_SECONDS": "0",
            # Made for a small node that shares its cores with others.
            "RABBITMQ_SCHEDULER_BIND_TYPE": "u",
            "RABBITMQ_MAX_NUMBER_OF_ATOMS": "1048576",
            "RABBITMQ_MAX_NUMBER_OF_PROCESSES": "131072",
            "ERL_MAX_PORTS": "16384",
        }


def _passwords_in(directory: Path) -> dict[str, str]:
    """Of each user; made before the node is, so that its URLs are known at once."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / "passwords.json"
    fresh = {name: secrets.token_urlsafe(24) for name in (OPERATOR, *SERVICES)}
    _keep_secret(path, msgspec.json.encode(fresh).decode())
    return msgspec.json.decode(path.read_bytes(), type=dict[str, str])


def _keep_secret(path: Path, fresh: str) -> None:
    """Write a new secret, whole or not at all, unless an earlier run left one."""
    if not path.exists():
        unfinished = path.with_name(path.name + ".new")
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        unfinished.write_text(fresh)
        unfinished.chmod(0o400)
        unfinished.rename(path)
