"""A view as a worker holds it, without anybody to read the logs from."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from enforcement_gateway.view import SubscribedView
from tollgate.messaging.metrics import SubscriptionMetrics
from tollgate.messaging.source import Page, SourceUnavailable
from tollgate.messaging.subscription import Subscription
from tollgate.projections.moments import Moment
from tollgate.projections.replica import Replica
from tollgate.projections.snapshot import SnapshotFile
from tollgate.registry.state import RegistryState
from tollgate.tokens.state import TokensState

POSITION = 1
MAX_AGE = 3_600.0
SNAPSHOT = "view.snapshot"


class NoOwner:
    """A log that cannot be read."""

    whole = False

    def __init__(self, log: str) -> None:
        self.log = log

    async def read_after(
        self,
        position: int,
        last: bytes | None,
        *,
        limit: int,
        wait: timedelta = timedelta(0),
    ) -> Page:
        del position, last, limit, wait
        raise SourceUnavailable("nobody owns it")


def empty_view() -> SubscribedView:
    metrics = SubscriptionMetrics(CollectorRegistry())
    return SubscribedView(
        Subscription(NoOwner(RegistryState.LOG), RegistryState, metrics=metrics),
        Subscription(NoOwner(TokensState.LOG), TokensState, metrics=metrics),
    )


def view_of(
    registry: RegistryState, tokens: TokensState, last: bytes
) -> SubscribedView:
    """A view that has just been level; `last` stands for the hash of both logs."""
    view = empty_view()
    states: Sequence[Any] = (registry, tokens)
    for subscription, state in zip(view.logs.subscriptions, states, strict=True):
        subscription.restore(
            Replica(subscription.log, state, position=POSITION, last=last),
            polled_at=Moment.now(),
            max_age=MAX_AGE,
        )
    return view


def snapshot_of(view: SubscribedView, folder: Path) -> SnapshotFile:
    return SnapshotFile(folder / SNAPSHOT, view.logs.subscriptions)
