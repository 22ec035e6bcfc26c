"""Finds RabbitMQ and its Erlang, or unpacks Debian's packages where it is missing.

Nothing is installed: no system user, no service that would take port 5672. The packages
are downloaded with apt's own checks of signatures and unpacked into one folder.
"""

import fcntl
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from local_stack.failures import CannotStart

_HOW_TO_HELP = (
    "install the package rabbitmq-server, "
    "or set TOLLGATE_AMQP_URL to a broker that runs"
)
_PACKAGE = "rabbitmq-server"
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
    unpacked = folder / "root"
    found = find_installation(unpacked)
    if found:
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be unpacking right now
        if not unpacked.exists():
            report("unpacking RabbitMQ from Debian's packages (once)")
            _unpack(folder, unpacked)
    found = find_installation(unpacked)
    if found is None:
        raise CannotStart(f"{unpacked} holds no complete RabbitMQ: {_HOW_TO_HELP}")
    return found


def _unpack(folder: Path, unpacked: Path) -> None:
    for tool in ("apt-get", "dpkg"):
        if not shutil.which(tool):
            raise CannotStart(f"no RabbitMQ and no {tool} to get it: {_HOW_TO_HELP}")
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    for part in ("lists/partial", "cache/archives/partial", "packages", "root"):
        (work / part).mkdir(parents=True)
    apt = [
        "apt-get",
        "-q",
        # Folders of our own: no root needed, no lock of the machine's apt taken.
        f"-oDir::State::Lists={work / 'lists'}",
        f"-oDir::Cache={work / 'cache'}",
        "-oDebug::NoLocking=1",
        "-oAPT::Sandbox::User=",
        # Neither translated descriptions nor what a software centre would show.
        "-oAcquire::Languages=none",
        "-oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
    ]
    _run([*apt, "update"], work)
    _run([*apt, "download", *_packages(apt, work)], work / "packages")
    for package in sorted((work / "packages").glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(work / "root")], work)
    (work / "root").rename(unpacked)  # whole or not at all
    shutil.rmtree(work)


def _packages(apt: Sequence[str], work: Path) -> list[str]:
    """What RabbitMQ needs and this machine lacks, and all of Erlang in any case.

    Erlang's own packages are taken even where some are installed: half of Erlang here
    and half of it there would not find each other.
    """
    simulate = [*apt, "install", "--simulate", "--no-install-recommends", _PACKAGE]
    missing = _installed_by(_run(simulate, work))
    nothing_installed = [*simulate, "-oDir::State::Status=/dev/null"]
    everything = _installed_by(_run(nothing_installed, work))
    return sorted(
        {_PACKAGE}
        | missing
        | {name for name in everything if name.startswith("erlang-")}
    )


def _installed_by(simulation: str) -> set[str]:
    return set(re.findall(r"^Inst (\S+)", simulation, re.MULTILINE))


def _run(command: Sequence[str], directory: Path) -> str:
    done = subprocess.run(
        command,
        check=False,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        reason = (done.stdout.strip().splitlines() or ["no output"])[-1]
        raise CannotStart(f"cannot get RabbitMQ ({reason}): {_HOW_TO_HELP}")
    return done.stdout


def _newest(folders: Iterable[Path]) -> Path:
    """By version as numbers: 3.10 is newer than 3.9."""
    return max(
        folders, key=lambda folder: [int(n) for n in re.findall(r"\d+", folder.name)]
    )
