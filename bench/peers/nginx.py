"""nginx as a plain proxy: one worker, connections kept alive on both sides."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template

from bench.measuring.context import Bench
from bench.measuring.programs import Program
from bench.peers.debian import installed
from local_stack.ports import free_ports

_CONFIGURATION = Path(__file__).with_name("nginx.conf")


@contextmanager
def nginx_proxy(bench: Bench, upstream_port: int) -> Iterator[Program]:
    """On the core of the program under test."""
    nginx = installed("nginx", bench)
    (port,) = free_ports(1)
    folder = Path(tempfile.mkdtemp(prefix="nginx-", dir=bench.folder))
    (folder / "temp").mkdir()
    configuration = Template(_CONFIGURATION.read_text()).substitute(
        port=port, upstream_port=upstream_port
    )
    (folder / "nginx.conf").write_text(configuration)
    command: list[str | Path] = [
        nginx.path,
        "-p",
        folder,
        "-c",
        "nginx.conf",
        "-e",
        "stderr",
    ]
    with bench.running(
        "nginx",
        command,
        port=port,
        environment=nginx.environment,
        under_test=True,
    ) as program:
        yield program
