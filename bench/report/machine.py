"""The machine that the numbers are of."""

import os
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from bench import ROOT

_PACKAGES = (
    "aio-pika",
    "aiohttp",
    "asyncpg",
    "cryptography",
    "cython",
    "httptools",
    "msgspec",
    "tollgate",
    "uvloop",
)


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    processor: str
    cores: int  # that we may use
    memory_gib: float
    kernel: str
    system: str
    commit: str  # of the repository, with a mark if it has changes


def describe_machine(cores: int) -> Machine:
    """This machine. `cores` are those that the run may use."""
    return Machine(
        processor=_field(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        cores=cores,
        memory_gib=round(
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1
        ),
        kernel=platform.release(),
        system=_field(Path("/etc/os-release"), "PRETTY_NAME").strip('"'),
        commit=_commit(),
    )


def our_programs() -> dict[str, str]:
    """Versions of the interpreter and of the packages that the hot paths use."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue  # a compiler's, where nothing was compiled
    return versions


def _field(path: Path, name: str) -> str:
    """The value of `name: value` or `name=value` in a file of such lines."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(rf"^{name}\s*[:=]\s*(.*)$", text, re.MULTILINE)
    return found.group(1).strip() if found else ""


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return described.stdout.strip() or f"not a repository ({sys.platform})"
