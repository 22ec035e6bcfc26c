"""TCP ports of this machine that nobody listens on."""

import random
import socket
from collections import deque
from pathlib import Path

from local_stack.failures import CannotStart

LOOPBACK = "127.0.0.1"
_LOWEST = 20_000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ATTEMPTS = 1_000
_MOST_CLAIMS = 200
_claims: deque[socket.socket] = deque()
"""Hold the ports given last."""


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
    """`count` different free ports, which no other process is given meanwhile.

    Until a server listens on one, and while it is started again, nothing keeps another
    process from choosing the same, and then a client of the one server would talk to
    the other. So each port is claimed, by the UDP socket of the same number, which
    nothing here speaks on; a claim ends with this process, or 200 ports later.

    They lie below the range from which the kernel serves outgoing connections. Inside
    it, a client that tries again and again while its server is down takes the server's
    port for its own end sooner or later, and connects to itself.
    """
    candidates = range(_LOWEST, _first_ephemeral_port())
    found: list[int] = []
    for _ in range(_ATTEMPTS):
        port = random.choice(candidates)  # noqa: S311  # not a secret
        if is_free(port) and _claim(port):
            found.append(port)
        if len(found) == count:
            return found
    raise CannotStart(
        f"no {count} free ports between {candidates.start} and {candidates.stop}: "
        "stop what listens there"
    )


def _claim(port: int) -> bool:
    """Whether it is this process's now; it is not if it is anybody's already."""
    claim = socket.socket(type=socket.SOCK_DGRAM)
    try:
        claim.bind((LOOPBACK, port))
    except OSError:
        claim.close()
        return False
    if len(_claims) == _MOST_CLAIMS:
        _claims.popleft().close()
    _claims.append(claim)
    return True


def _first_ephemeral_port() -> int:
    try:
        first = int(_EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError):
        first = 32_768  # the kernel's default
    return first if first > _LOWEST + _ATTEMPTS else 32_768
