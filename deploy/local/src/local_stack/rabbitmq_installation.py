"""Finds RabbitMQ and its Erlang, or unpacks Debian's packages where it is missing."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from local_stack.debian_packages import unpacked_packages
from local_stack.failures import CannotStart

_HOW_TO_HELP = (
    "install the package rabbitmq-server, "
    "or set TOLLGATE_AMQP_URL to a broker that runs"
)
_SYSTEM = Path("/")


class Installation(NamedTuple):
    """Where the parts are; versions are found in the names of the folders."""

    erlang: Path  # holds erts-<version>/
    server: Path  # holds sbin/
    libraries: tuple[Path, ...]  # shared libraries that came along

    @property
    def runtime(self) -> Path:
        """The programs of Erlang itself: erlexec, beam.smp, epmd."""
        return _newest(self.erlang.glob("erts-*")) / "bin"


def find_installation(unpacked: Path, system: Path = _SYSTEM) -> Installation | None:
    """RabbitMQ as installed on this machine, else as unpacked earlier."""
    for root in (system, unpacked):
        erlang = root / "usr/lib/erlang"
        servers = list((root / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"))
        if servers and list(erlang.glob("erts-*/bin/beam.smp")):
            libraries = () if root == system else tuple(root.glob("usr/lib/*-linux-*"))
            return Installation(erlang, _newest(servers), libraries)
    return None


def ensure_installation(
    folder: Path, report: Callable[[str], None] = lambda _: None
) -> Installation:
    """Find RabbitMQ, or unpack it below `folder`, once, however many ask at a time."""
    found = find_installation(folder / "root")
    if found:
        return found
    unpacked = unpacked_packages(
        ["rabbitmq-server"],
        folder,
        how_to_help=_HOW_TO_HELP,
        # Half of Erlang here and half of it there would not find each other.
        whole_families=("erlang-",),
        before=lambda: report("unpacking RabbitMQ from Debian's packages (once)"),
    )
    found = find_installation(unpacked)
    if found is None:
        raise CannotStart(f"{unpacked} holds no complete RabbitMQ: {_HOW_TO_HELP}")
    return found


def _newest(folders: Iterable[Path]) -> Path:
    """By version as numbers: 3.10 is newer than 3.9."""
    return max(
        folders, key=lambda folder: [int(n) for n in re.findall(r"\d+", folder.name)]
    )
