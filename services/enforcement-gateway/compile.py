"""Compiles the modules on the way of every request, each beside its source.

    python services/enforcement-gateway/compile.py

needs Cython, a C compiler and the headers of this Python. What it makes is used from
the next start on; without it, or with `ENFORCEMENT_GATEWAY_INTERPRETED=1`, the same
source is interpreted. Types stand in the `.pxd` files (ADR 26).
"""

import os
import shutil
import sysconfig
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

HOT_PATH = (
    "body.last_write_key",
    "body.absurdity",
    "body.known_keys",
    "body.scanner",
    "body.write_keys",
    "counters",
    "domain.authorization",
    "gate",
    "http.exchange",
    "http.head_template",
    "http.plans",
    "http.protocol",
    "http.refusal_log",
    "http.regulars",
    "http.responses",
    "http.server",
    "http.strangers",
    "known_tokens",
    "sockets.demotion",
    "sockets.readiness",
    "sockets.transport",
    "sockets.watched",
    "turns",
    "upstream.answers",
    "upstream.connection",
    "upstream.forwarding",
    "upstream.known_answers",
    "upstream.pool",
    "upstream.silence",
    "verification",
    "view",
)
FLAGS = ("-O2", "-g0")
FLAGS_OF = {"body.scanner": ("-O3", "-funroll-loops")}
"""Loops over octets gain from larger code, and what calls Python does not."""

PACKAGE = "enforcement_gateway"
SOURCES = Path(__file__).parent / "src"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
BUILD = Path(__file__).parents[2] / ".local" / "build"


def require_compiler() -> None:
    """End with a sentence, not a page of a compiler's words, if there is no way."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None and shutil.which("cc") is None:
        raise SystemExit(f"compile: there is no C compiler ({compiler}, cc)")
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if not headers.exists():
        raise SystemExit(
            "compile: the headers of this Python are missing (python3-dev)"
        )


def main() -> None:
    """Compile what has changed since the last time."""
    require_compiler()
    extensions = cythonize(
        [
            Extension(
                f"{PACKAGE}.{module}",
                [
                    str(
                        (SOURCES / PACKAGE / module.replace(".", "/")).with_suffix(
                            ".py"
                        )
                    )
                ],
                extra_compile_args=[*FLAGS, *FLAGS_OF.get(module, ())],
            )
            for module in HOT_PATH
        ],
        build_dir=str(BUILD),
        include_path=[str(SOURCES)],
        language_level=3,
        quiet=True,
        nthreads=CORES,
        compiler_directives={
            # Annotations are for type checkers; what C may rely on is in the .pxd.
            "annotation_typing": False,
            "binding": True,
            "auto_pickle": False,  # nobody does, and it is 8 % of the C
        },
    )
    command = build_ext(Distribution({"ext_modules": extensions}))
    command.build_lib = str(SOURCES)
    command.build_temp = str(BUILD)
    command.parallel = CORES
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    main()
