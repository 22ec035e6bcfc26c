"""What happened, as plain integers: one addition on the way of a request."""

from collections import deque
from typing import Any

import msgspec

from enforcement_gateway.domain.denials import Reason

MAX_SAMPLES = 100


class WouldBeDenial(msgspec.Struct, frozen=True, kw_only=True):
    """A request that `report` let through. `at` is in seconds since the epoch."""

    at: float
    request_id: str
    source_id: str
    reason: Reason
    client_id: str | None
    user_agent: str


class Tally(msgspec.Struct, kw_only=True):
    """The counters of one worker, as they travel; the parent adds them up.

    `open` is of requests whose sources all had enforcement off. `answered` is by the
    upstream's class of status, `5` for 5xx. Those that end in `_now` go up and down.
    """

    requests: int = 0
    admitted: int = 0
    open: int = 0
    reported: dict[Reason, int] = {}
    denied: dict[Reason, int] = {}
    answered: dict[int, int] = {}
    connections: int = 0
    connections_now: int = 0
    upstream_connections: int = 0
    upstream_connections_now: int = 0
    confirmations: int = 0
    body_bytes: int = 0
    body_bytes_now: int = 0

    def add(self, other: "Tally", *, gone: bool = False) -> None:
        """Take over what another worker counted; `gone` if it runs no more."""
        for field in self.__struct_fields__:
            theirs: Any = getattr(other, field)
            ours: Any = getattr(self, field)
            if isinstance(ours, dict):
                for key, count in theirs.items():
                    ours[key] = ours.get(key, 0) + count
            elif not (gone and field.endswith("_now")):
                setattr(self, field, ours + theirs)


class Counters(Tally, kw_only=True):
    """The counters as the worker counts, with the samples of `report`."""

    samples: deque[WouldBeDenial] = msgspec.field(
        default_factory=lambda: deque(maxlen=MAX_SAMPLES)
    )

    def count_denied(self, reason: Reason) -> None:
        self.denied[reason] = self.denied.get(reason, 0) + 1

    def count_answered(self, status: int) -> None:
        hundreds = status // 100
        self.answered[hundreds] = self.answered.get(hundreds, 0) + 1

    def count_reported(self, sample: WouldBeDenial) -> None:
        self.reported[sample.reason] = self.reported.get(sample.reason, 0) + 1
        self.samples.append(sample)
