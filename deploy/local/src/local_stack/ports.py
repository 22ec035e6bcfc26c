"""TCP ports of this machine that nobody listens on."""

import random
import socket
from pathlib import Path

from local_stack.failures import CannotStart

LOOPBACK = "127.0.0.1"
_LOWEST = 20_000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ATTEMPTS = 1_000


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback address now."""
    with socket.socket() as probe:
        # As servers do: a connection of the last run in TIME_WAIT is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """`count` different free ports.

    They lie below the range from which the kernel serves outgoing connections. Inside
    it, a client that tries again and again while its server is down takes the server's
    port for its own end sooner or later, and connects to itself.
    """
    candidates = range(_LOWEST, _first_ephemeral_port())
    found: set[int] = set()
    for _ in range(_ATTEMPTS):
        port = random.choice(candidates)  # noqa: S311  # not a secret
        if is_free(port):
            found.add(port)
        if len(found) == count:
            return list(found)
    raise CannotStart(
        f"no {count} free ports between {candidates.start} and {candidates.stop}: "
        "stop what listens there"
    )


def _first_ephemeral_port() -> int:
    try:
        first = int(_EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError):
        first = 32_768  # the kernel's default
    return first if first > _LOWEST + _ATTEMPTS else 32_768
