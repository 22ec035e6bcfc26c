"""What happened, as plain integers: one addition on the way of a request."""

from collections import deque
from typing import Any

import msgspec

from enforcement_gateway.domain.denials import Reason

MAX_SAMPLES = 100
_SUCCESS, _REDIRECTION = 200, 300


def is_success(status: int) -> bool:
    """Whether an answer with that status says that all went well."""
    return _SUCCESS <= status < _REDIRECTION


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
    connections_let_in: int = 0
    connections_displaced: int = 0
    connections_now: int = 0
    demoted_connections_now: int = 0
    upstream_connections: int = 0
    upstream_connections_now: int = 0
    confirmations: int = 0
    body_bytes: int = 0
    body_bytes_now: int = 0

    def add(self, other: "Tally | Counters", *, gone: bool = False) -> None:
        """Take over what another worker counted; `gone` if it runs no more."""
        for field in self.__struct_fields__:
            theirs: Any = getattr(other, field)
            ours: Any = getattr(self, field)
            if isinstance(ours, dict):
                for key, count in theirs.items():
                    ours[key] = ours.get(key, 0) + count
            elif not (gone and field.endswith("_now")):
                setattr(self, field, ours + theirs)


class Counters:
    """The counters as the worker counts, with the samples of `report`.

    Fields are those of a `Tally`. Not one of its kind, because these are plain numbers
    where this module is compiled. `succeeded` is of answers that say so (`is_success`).
    """

    def __init__(self) -> None:
        self.requests = 0
        self.admitted = 0
        self.open = 0
        self.reported: dict[Reason, int] = {}
        self.denied: dict[Reason, int] = {}
        self.succeeded = 0
        self._answered_otherwise: dict[int, int] = {}
        self.connections = 0
        self.connections_let_in = 0
        self.connections_displaced = 0
        self.connections_now = 0
        self.demoted_connections_now = 0
        self.upstream_connections = 0
        self.upstream_connections_now = 0
        self.confirmations = 0
        self.body_bytes = 0
        self.body_bytes_now = 0
        self.samples: deque[WouldBeDenial] = deque(maxlen=MAX_SAMPLES)

    @property
    def answered(self) -> dict[int, int]:
        """By the upstream's class of status."""
        if not self.succeeded:
            return dict(self._answered_otherwise)
        return {_SUCCESS // 100: self.succeeded, **self._answered_otherwise}

    @property
    def let_in(self) -> int:
        """Requests that were passed on, whatever became of them then."""
        return self.admitted + self.open + sum(self.reported.values())

    def tally(self) -> Tally:
        """What was counted until now."""
        total = Tally()
        total.add(self)
        return total

    def count_denied(self, reason: Reason, requests: int = 1) -> None:
        self.denied[reason] = self.denied.get(reason, 0) + requests

    def count_answered(self, status: int) -> None:
        if is_success(status):
            self.succeeded += 1
        else:
            others = self._answered_otherwise
            others[status // 100] = others.get(status // 100, 0) + 1

    def count_reported(self, sample: WouldBeDenial) -> None:
        self.reported[sample.reason] = self.reported.get(sample.reason, 0) + 1
        self.samples.append(sample)
