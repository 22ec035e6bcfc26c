"""oidc-provider, the usual authorization server of Node.js, in memory.

Installed by name and lock file below `.local`, where it stays.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench import LOCAL
from bench.measuring.context import Bench
from bench.measuring.failures import CannotMeasure
from bench.measuring.programs import Program
from local_stack.ports import free_ports
from tollgate.oauth.public_keys import PublicKey

_FILES = Path(__file__).with_name("oidc-provider")


@contextmanager
def oidc_provider(bench: Bench, client_id: str, key: PublicKey) -> Iterator[Program]:
    """On the core of the program under test, with one client that has this key."""
    folder = install(bench.report)
    manifest = folder / "node_modules" / "oidc-provider" / "package.json"
    bench.programs["oidc-provider"] = msgspec.json.decode(manifest.read_bytes())[
        "version"
    ]
    (port,) = free_ports(1)
    jwk = {**key.jwk, "kid": key.kid, "alg": key.alg.value, "use": "sig"}
    with bench.running(
        "oidc-provider",
        [_required("node"), folder / "provider.js"],
        port=port,
        environment={
            "PATH": os.environ["PATH"],
            "NODE_ENV": "production",
            "PORT": str(port),
            "CLIENT_ID": client_id,
            "CLIENT_JWK": msgspec.json.encode(jwk).decode(),
        },
        under_test=True,
    ) as program:
        yield program


def install(report: Callable[[str], None]) -> Path:
    """Its folder, installed if it is not what the lock file says.

    If it cannot be: `CannotMeasure`.
    """
    folder = LOCAL / "bench" / "oidc-provider"
    lock = folder / "package-lock.json"
    wanted = (_FILES / lock.name).read_bytes()
    is_there = lock.exists() and lock.read_bytes() == wanted
    if not is_there or not (folder / "node_modules").exists():
        report("installing oidc-provider (once)")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(_FILES, folder)
        installing = subprocess.run(
            [_required("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
        )
        if installing.returncode:
            shutil.rmtree(folder)
            last = installing.stderr.strip().splitlines()[-1:]
            raise CannotMeasure(f"npm cannot install oidc-provider: {' '.join(last)}")
    shutil.copy(_FILES / "provider.js", folder)
    return folder


def _required(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise CannotMeasure(f"{program} is not installed: install Node.js with npm")
    return path
