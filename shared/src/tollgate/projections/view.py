"""What a process knows of all the logs it decides by, and how old that is."""

import asyncio
import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeAlias

import msgspec

from tollgate.messaging.subscription import REFRESH_DEADLINE, LogStatus, Subscription
from tollgate.projections.moments import Moment

AnySubscription: TypeAlias = Subscription[Any]


class ViewStatus(msgspec.Struct, frozen=True, kw_only=True):
    """For `/status`; `age` in seconds is that of the oldest log, null before a poll."""

    ready: bool
    fresh: bool
    age: float | None
    logs: list[LogStatus]


class View:
    """Several subscriptions that are decided by together: as old as the oldest."""

    def __init__(self, *subscriptions: AnySubscription) -> None:
        self.subscriptions: Sequence[AnySubscription] = subscriptions

    def age(self, now: Moment | None = None) -> float:
        """Seconds; infinite while a log has not been polled. See `Subscription.age`."""
        moment = now or Moment.now()
        return max(each.age(moment) for each in self.subscriptions)

    def fresh(self, now: Moment | None = None) -> bool:
        """Whether decisions may be taken: no log is older than it may be."""
        moment = now or Moment.now()
        for each in self.subscriptions:  # noqa: SIM110 - at each decision, so plain
            if not each.fresh(moment):
                return False
        return True

    @property
    def ready(self) -> bool:
        """For `/readyz`: false before the first refusal for age."""
        return all(each.ready for each in self.subscriptions)

    @property
    def generation(self) -> int:
        """Another number after any log was rebuilt: what was derived is void."""
        return sum(each.generation for each in self.subscriptions)

    def status(self) -> ViewStatus:
        age = self.age()
        return ViewStatus(
            ready=self.ready,
            fresh=self.fresh(),
            age=age if math.isfinite(age) else None,
            logs=[each.status() for each in self.subscriptions],
        )

    async def refresh(self, deadline: timedelta = REFRESH_DEADLINE) -> None:
        """Apply all that the logs held when this was called, or raise `NotLevel`.

        Before anything is refused because it is unknown: unknown is not no.
        """
        outcomes = await asyncio.gather(
            *(each.refresh(deadline) for each in self.subscriptions),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def run(self) -> None:
        """Keep every log level until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for each in self.subscriptions:
                tasks.create_task(each.run(), name=f"subscription to {each.log}")
