"""nginx, HAProxy and wrk: as installed on this machine, else as Debian packages them.

Unpacked, not installed: a benchmark starts no services that take ports 80 and 443.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench import LOCAL
from bench.measuring.context import Bench
from local_stack.debian_packages import unpacked_packages

_PROGRAMS = ("haproxy", "nginx", "wrk")
"""Each is the only one that matters of the package of its name."""

_SYSTEM_FOLDERS = "/usr/sbin:/usr/bin:/sbin:/bin"


class Installed(msgspec.Struct, frozen=True):
    """A program and the environment that it needs to run."""

    path: str
    environment: dict[str, str]
    version: str


def installed(name: str, bench: Bench) -> Installed:
    """The program, or `CannotStart` that says what to install."""
    environment = {"PATH": _SYSTEM_FOLDERS, "LC_ALL": "C.UTF-8"}
    path = _on_this_machine(name)
    if path is None:
        root = _unpacked(bench.report)
        folders = ":".join(str(root / f"usr/{folder}") for folder in ("sbin", "bin"))
        path = shutil.which(name, path=folders)
        if path is None:
            raise FileNotFoundError(f"{root} holds no {name}")
        libraries = sorted(str(folder) for folder in root.glob("usr/lib/*-linux-*"))
        environment["LD_LIBRARY_PATH"] = ":".join(libraries)
    found = Installed(path, environment, _version(name, path, environment))
    bench.programs[name] = found.version
    return found


def ensure_installed(report: Callable[[str], None]) -> None:
    """Unpack them unless all are on this machine; `CannotStart` if that fails."""
    if not all(map(_on_this_machine, _PROGRAMS)):
        _unpacked(report)


def _on_this_machine(name: str) -> str | None:
    return shutil.which(name, path=os.environ["PATH"] + ":" + _SYSTEM_FOLDERS)


def _unpacked(report: Callable[[str], None]) -> Path:
    return unpacked_packages(
        _PROGRAMS,
        LOCAL / "bench" / "debian",
        how_to_help=f"install the packages {', '.join(_PROGRAMS)}",
        before=lambda: report("unpacking nginx, HAProxy and wrk (once)"),
    )


def _version(name: str, path: str, environment: dict[str, str]) -> str:
    """As it says itself: `HAProxy version 2.6.12-1+deb12u4 2025/…` is 2.6.12-1+…"""
    said = subprocess.run(
        [path, "-v"],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path("/"),
    )
    words = (said.stdout + said.stderr).replace("/", " ").split()
    versions = (word for word in words if word[:1].isdecimal() and "." in word)
    return next(versions, f"an unknown {name}")
