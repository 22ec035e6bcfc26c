"""Admits or denies one request from its own view, then forwards it.

`make build` compiles the modules on the way of every request, beside their sources.
With `ENFORCEMENT_GATEWAY_INTERPRETED=1`, or after a source has changed, the sources
run all the same (ADR 26).
"""

import os
import sys
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    FileFinder,
    SourceFileLoader,
)
from pathlib import Path

_HERE = Path(__file__).parent
_NO = frozenset({"", "0", "no", "off", "false"})


def _are_not_wanted() -> bool:
    """A setting, but one that is needed before any module is imported."""
    said = os.environ.get("ENFORCEMENT_GATEWAY_INTERPRETED", "")
    return said.strip().lower() not in _NO


def _are_stale() -> bool:
    """Whether a source has changed since it was compiled: then it is what counts."""
    suffix = EXTENSION_SUFFIXES[0]
    for compiled in _HERE.rglob(f"*{suffix}"):
        source = compiled.with_name(compiled.name.removesuffix(suffix) + ".py")
        if source.exists() and source.stat().st_mtime > compiled.stat().st_mtime:
            return True
    return False


def _find_sources_only() -> None:
    """Have the import system look for sources, and nothing else, in this package."""
    for folder in (_HERE, *(each for each in _HERE.iterdir() if each.is_dir())):
        sys.path_importer_cache[str(folder)] = FileFinder(
            str(folder), (SourceFileLoader, SOURCE_SUFFIXES)
        )


if _are_not_wanted() or _are_stale():
    _find_sources_only()
