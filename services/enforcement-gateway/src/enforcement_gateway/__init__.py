"""Admits or denies one request from its own view, then forwards it.

`make build` compiles the modules on the way of every request, beside their sources.
With `ENFORCEMENT_GATEWAY_INTERPRETED=1` the sources run all the same (ADR 22).
"""

import os
import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path

_NO = frozenset({"", "0", "no", "off", "false"})


def _find_sources_only() -> None:
    """Have the import system look for sources, and nothing else, in this package."""
    here = Path(__file__).parent
    for folder in (here, *(each for each in here.iterdir() if each.is_dir())):
        sys.path_importer_cache[str(folder)] = FileFinder(
            str(folder), (SourceFileLoader, SOURCE_SUFFIXES)
        )


# A setting, but one that is needed before any module is imported.
if os.environ.get("ENFORCEMENT_GATEWAY_INTERPRETED", "").strip().lower() not in _NO:
    _find_sources_only()
