"""What a worker tells its parent, over the socket between them.

The parent writes a number on a line; the worker answers with one line of JSON that
repeats it, so that an answer that came too late is not taken for the next. A socket
that closes says that the other end is gone.
"""

import msgspec

from enforcement_gateway.counters import Tally, WouldBeDenial
from tollgate.projections.view import ViewStatus

MAX_LINE = 4 * 1024 * 1024


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One worker, now. `samples` are what `report` let through lately.

    `compiled`: the modules on the way of every request were, by `make build`.
    """

    asked: int
    pid: int
    compiled: bool
    listening: bool
    tally: Tally
    view: ViewStatus
    samples: list[WouldBeDenial]


def encode_report(report: Report) -> bytes:
    return msgspec.json.encode(report) + b"\n"


def decode_report(line: bytes) -> Report:
    """Raises `msgspec.MsgspecError` if it is none."""
    return msgspec.json.decode(line, type=Report)
