"""Programs from Debian's packages, unpacked into a folder instead of installed.

Nothing is installed: no root needed, no system user, no service that would start and
take its usual port. The packages are downloaded with apt's own checks of signatures.
"""

import fcntl
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from local_stack.failures import CannotStart


def unpacked_packages(
    packages: Sequence[str],
    folder: Path,
    *,
    how_to_help: str,
    whole_families: tuple[str, ...] = (),
    before: Callable[[], None] = lambda: None,
) -> Path:
    """A root folder with `packages` and what they need and this machine lacks.

    It is made below `folder` once, however many ask at a time; `before` is called by
    the one that makes it. Dependencies whose names begin with one of `whole_families`
    are taken even where they are installed. If it cannot be made: `CannotStart`, ending
    with `how_to_help`.
    """
    unpacked = folder / "root"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be unpacking right now
        if not unpacked.exists():
            before()
            try:
                _unpack(packages, folder, unpacked, whole_families)
            except _Unavailable as reason:
                raise CannotStart(
                    f"cannot get {', '.join(packages)} ({reason}): {how_to_help}"
                ) from None
    return unpacked


class _Unavailable(Exception):
    """Its text is the reason, to stand in parentheses."""


def _unpack(
    packages: Sequence[str],
    folder: Path,
    unpacked: Path,
    whole_families: tuple[str, ...],
) -> None:
    for tool in ("apt-get", "dpkg"):
        if not shutil.which(tool):
            raise _Unavailable(f"there is no {tool}")
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
    names = _needed(packages, apt, work, whole_families)
    _run([*apt, "download", *names], work / "packages")
    for package in sorted((work / "packages").glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(work / "root")], work)
    (work / "root").rename(unpacked)  # whole or not at all
    shutil.rmtree(work)


def _needed(
    packages: Sequence[str],
    apt: Sequence[str],
    work: Path,
    whole_families: tuple[str, ...],
) -> list[str]:
    """The packages, what they need and this machine lacks, and the whole families."""
    simulate = [*apt, "install", "--simulate", "--no-install-recommends", *packages]
    names = set(packages) | _installed_by(_run(simulate, work))
    if whole_families:
        nothing_installed = [*simulate, "-oDir::State::Status=/dev/null"]
        everything = _installed_by(_run(nothing_installed, work))
        names |= {name for name in everything if name.startswith(whole_families)}
    return sorted(names)


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
        raise _Unavailable((done.stdout.strip().splitlines() or ["no output"])[-1])
    return done.stdout
