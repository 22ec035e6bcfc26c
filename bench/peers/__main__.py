"""Gets all that is measured beside ours, and RabbitMQ, each while the others come.

`make bench` runs it while the hot path is compiled. What cannot be had fails nothing
here: the case that needs it tries again, and says why it cannot measure.
"""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import click

from bench import LOCAL
from bench.measuring.failures import CannotMeasure
from bench.peers import debian, oidc_provider
from local_stack.failures import CannotStart
from local_stack.rabbitmq_installation import ensure_installation


def main() -> None:
    with ThreadPoolExecutor() as threads:
        for get in (debian.ensure_installed, oidc_provider.install, _get_rabbitmq):
            threads.submit(_try, get)


def _get_rabbitmq(report: Callable[[str], None]) -> None:
    ensure_installation(LOCAL / "rabbitmq", report)


def _try(get: Callable[[Callable[[str], None]], object]) -> None:
    with contextlib.suppress(CannotMeasure, CannotStart):
        get(lambda line: click.echo(f"bench: {line}", err=True))


if __name__ == "__main__":
    main()
