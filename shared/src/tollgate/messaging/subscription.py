"""A log kept in memory by a reader: pushed by the broker, made certain by polling.

- Every event goes through `Replica.take`: in order, each once, chain checked.
- The feed is polled all the time, broker or no broker. The age of what is known is now
  minus the moment the poll was *sent* whose head has been applied.
- What the broker brings is believed only where it fits. A hole, a message that cannot
  be read, or one that contradicts what was applied makes the feed be read: the owner
  decides, not a message.
- If the owner says that it has another history, the state is built anew from position
  0, with an alarm. Meanwhile the old state answers and ages, and takes nothing more; it
  is exchanged for the new one when that has reached the head.
- An event that must be understood and cannot be stops this log here: not ready, and
  then too old to decide by.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import Enum
from typing import Generic

import msgspec
import structlog

from tollgate.eventlog.chain import ChainBroken
from tollgate.events import RecordedEvent, UnreadableEvent
from tollgate.messaging.alarms import Limiter
from tollgate.messaging.messages import (
    EventMessage,
    UnreadableMessage,
    decode_message,
)
from tollgate.messaging.metrics import SubscriptionMetrics
from tollgate.messaging.source import LogDiverged, LogSource, Page, SourceUnavailable
from tollgate.projections.moments import Moment
from tollgate.projections.replica import Diverged, Replica, StateT

POLL_INTERVAL = timedelta(seconds=1)
REFRESH_DEADLINE = timedelta(milliseconds=250)
DEFAULT_MAX_AGE = timedelta(seconds=300)

PAGE = 500
"""Events in one read of the feed."""

SLICE = 100
"""Events applied before others get their turn on the loop."""

SHORTEST_PAUSE = 0.02
"""Seconds between two reads when each brings events: a busy log is read in batches."""

FILL_PAUSE = 0.05
"""Seconds between reads because of messages: a flood of them is no flood of reads."""

READY_SHARE = 0.9
"""Share of `max_age` up to which a log is ready: not ready comes before refusing."""

SILENT_POLLS = 3
"""Polls that bring events while the broker brings none: then it is not delivering."""

LONGEST_REBUILD_PAUSE = 60.0
CALM = 60.0
"""Seconds without another history after which the next rebuild starts at once."""

NEVER_POLLED = Moment(-math.inf, -math.inf)
"""What was never polled has never been fresh."""

logger = structlog.get_logger(__name__)


class NotLevel(Exception):
    """The log could not be brought to its head in the time given."""


class LogStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator asks about one log; ages in seconds, null before any poll."""

    log: str
    position: int
    hash: str
    head: int
    age: float | None
    max_age: float
    ready: bool
    pushed: bool
    rebuilding: bool
    stopped: str | None
    trouble: str | None


class Offer(Enum):
    """What became of a broker message."""

    SETTLED = "settled"  # applied, seen before, or not to be applied
    EARLY = "early"  # events before it are missing
    DOUBTED = "doubted"  # it does not say what the log says, or cannot be read


class _Withheld(UnreadableEvent):
    """The broker tells less of this event than this reader needs."""


class Subscription(Generic[StateT]):
    """One log in memory. `run` must be running for anything to change.

    `max_age` can only shorten what the owner of the log allows. `state` must be fetched
    anew for every decision: it is another object after a rebuild, and `generation` then
    is another number.
    """

    def __init__(
        self,
        source: LogSource,
        new_state: Callable[[], StateT],
        *,
        metrics: SubscriptionMetrics,
        poll_interval: timedelta = POLL_INTERVAL,
        max_age: timedelta | None = None,
        clock: Callable[[], Moment] = Moment.now,
    ) -> None:
        self.log = source.log
        self.generation = 0
        self._source = source
        self._new_state = new_state
        self._metrics = metrics
        self._poll_interval = poll_interval
        self._own_max_age = max_age
        self._clock = clock

        self._decide_by(Replica(self.log, new_state()))
        self._rebuilding: Replica[StateT] | None = None
        self._polled_at: Moment | None = None
        self._max_age = self._shortened(DEFAULT_MAX_AGE.total_seconds())
        self.fresh_until = NEVER_POLLED
        """On both clocks, the last moment at which `fresh` is true."""
        self._head = 0
        self._stopped: str | None = None
        self._trouble: str | None = None
        self._pushed = False
        self._silent_polls = 0
        self.silent = asyncio.Event()
        """Set when a broker that should push this log evidently does not."""

        self._backlog = asyncio.Lock()
        self._hurry = asyncio.Event()
        self._asked: asyncio.Future[Exception | None] | None = None
        self._asking = asyncio.Event()
        self._waiting: set[tuple[int, asyncio.Future[None]]] = set()
        self._fill_after = 0.0
        self._failed_until = 0.0
        self._rebuild_after = 0.0
        self._rebuilds_in_a_row = 0
        self._diverged_at = -math.inf
        self._poll_alarm = Limiter()
        self._message_alarm = Limiter()
        self._stop_alarm = Limiter()

        metrics.age.labels(self.log).set_function(self.age)
        metrics.ready.labels(self.log).set_function(lambda: float(self.ready))
        metrics.pushed.labels(self.log).set(0)
        metrics.stopped.labels(self.log).set(0)

    # --- what decisions are taken from ---

    def _decide_by(self, replica: Replica[StateT]) -> None:
        self._replica = replica
        self.state = replica.state  # asked at every decision: a plain attribute

    @property
    def position(self) -> int:
        return self._replica.position

    @property
    def hash(self) -> bytes:
        return self._replica.hash

    @property
    def polled_at(self) -> Moment | None:
        """When the poll was sent whose head is applied."""
        return self._polled_at

    @property
    def max_age(self) -> float:
        """Seconds up to which decisions may be taken from this log."""
        return self._max_age

    def age(self, now: Moment | None = None) -> float:
        """Seconds since `polled_at`; infinite before the first poll.

        Ask after reading the state, so that a pause in between counts.
        """
        if self._polled_at is None:
            return math.inf
        return self._polled_at.until(now or self._clock())

    def fresh(self, now: Moment) -> bool:
        """Whether decisions may be taken from it: it is no older than `max_age`."""
        until = self.fresh_until
        return now.boottime <= until.boottime and now.wall <= until.wall

    @property
    def ready(self) -> bool:
        """Whether it will go on deciding for a while yet."""
        return self._stopped is None and self.age() <= READY_SHARE * self._max_age

    def status(self) -> LogStatus:
        age = self.age()
        return LogStatus(
            log=self.log,
            position=self.position,
            hash=self.hash.hex(),
            head=self._head,
            age=age if math.isfinite(age) else None,
            max_age=self._max_age,
            ready=self.ready,
            pushed=self._pushed,
            rebuilding=self._rebuilding is not None,
            stopped=self._stopped,
            trouble=self._trouble,
        )

    # --- waiting for news ---

    async def refresh(self, deadline: timedelta = REFRESH_DEADLINE) -> None:
        """Apply all that the log held when this was called, or raise `NotLevel`.

        One read serves everybody who asked before it was sent.
        """
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                outcome = await asyncio.shield(self._ask())
        except TimeoutError:
            raise NotLevel("the log was not read in time") from None
        if outcome is not None:
            raise NotLevel(str(outcome)) from outcome

    async def wait_for(self, position: int, deadline: timedelta) -> None:
        """Return once `position` is applied, or raise `NotLevel`: read your writes."""
        if self.position >= position:
            return
        waiter = (position, asyncio.get_running_loop().create_future())
        self._waiting.add(waiter)
        _ = self._ask()
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                await waiter[1]
        except TimeoutError:
            raise NotLevel(f"position {position} was not reached in time") from None
        finally:
            self._waiting.discard(waiter)

    # --- running ---

    def restore(
        self, replica: Replica[StateT], *, polled_at: Moment, max_age: float
    ) -> None:
        """Start from a snapshot, before `run`: as old as it says it is."""
        self._decide_by(replica)
        self._note_poll(polled_at, max_age)
        self._note_position()

    async def run(self) -> None:
        """Keep the log level until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._poll_forever(), name=f"poll {self.log}")
                tasks.create_task(self._read_on_demand(), name=f"read {self.log}")
        finally:
            if self._asked is not None and not self._asked.done():
                self._asked.set_result(NotLevel("the subscription ends"))

    async def _poll_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            started, before = loop.time(), self.position
            # A long poll tells of an event at once, and of nothing late: whoever is
            # pushed, or does not know yet where the log stands, asks without waiting.
            patient = not self._pushed and self._polled_at and not self._trouble
            outcome = await self._read(self._poll_interval if patient else timedelta(0))
            self._note_silence(brought=self.position - before)
            pause = started + self._poll_interval.total_seconds() - loop.time()
            if isinstance(outcome, (LogDiverged, Diverged)) or (
                self.position > before and not self._pushed
            ):
                pause = SHORTEST_PAUSE
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(pause, SHORTEST_PAUSE)):
                    await self._hurry.wait()
            self._hurry.clear()

    def _ask(self) -> "asyncio.Future[Exception | None]":
        """The outcome of the next read to be sent, shared by all who ask for it."""
        if self._asked is None:
            self._asked = asyncio.get_running_loop().create_future()
            self._asking.set()
        return self._asked

    async def _read_on_demand(self) -> None:
        while True:
            await self._asking.wait()
            self._asking.clear()
            asked, self._asked = self._asked, None
            outcome: Exception | None = NotLevel("the subscription ends")
            try:
                outcome = await self._read()
            finally:
                if asked is not None and not asked.done():
                    asked.set_result(outcome)

    async def _read(self, wait: timedelta = timedelta(0)) -> Exception | None:
        """Read the source to its head once; None, or why that failed."""
        target = self._rebuilding or self._replica
        try:
            await self._read_to_head(target, wait)
        except SourceUnavailable as error:
            return self._unavailable(error)
        except (LogDiverged, Diverged) as error:
            return self._diverged(target, error)
        except (UnreadableEvent, ChainBroken) as error:
            return self._stop(error)
        self._metrics.polls.labels(self.log, "level").inc()
        self._trouble = None
        self._failed_until = 0.0
        if self._poll_alarm.reset():
            logger.info("log is read again", log=self.log, position=self.position)
        return None

    async def _read_to_head(self, target: Replica[StateT], wait: timedelta) -> None:
        if asyncio.get_running_loop().time() < self._rebuild_after:
            raise SourceUnavailable("its history changes too often; waiting a while")
        sent = self._clock()
        page = await self._read_page(target, wait)
        head = page.head
        if target.position < head.position:
            async with self._backlog:  # two readers would read the same pages
                while (before := target.position) < head.position:
                    await self._read_page(target)
                    if target.position == before:
                        raise SourceUnavailable("it holds events back")
        self._head = head.position
        self._metrics.head.labels(self.log).set(head.position)
        self._level(target, sent, page.max_age.total_seconds())

    async def _read_page(
        self, target: Replica[StateT], wait: timedelta = timedelta(0)
    ) -> Page:
        page = await self._source.read_after(
            target.position, target.hash, limit=PAGE, wait=wait
        )
        for start in range(0, len(page.events), SLICE):
            applied = 0
            try:
                for recorded in page.events[start : start + SLICE]:
                    applied += self._take(target, recorded)
            finally:
                self._note_applied(target, applied, "feed")
            await asyncio.sleep(0)
        return page

    def _take(self, target: Replica[StateT], recorded: RecordedEvent) -> bool:
        if (
            self._source.whole
            and recorded.withheld
            and recorded.position > target.position
        ):
            # To fold it as if it were nothing would lose a member in silence.
            raise _Withheld(f"event {recorded.position} is withheld from this reader")
        return target.take(recorded)

    def _level(self, target: Replica[StateT], sent: Moment, max_age: float) -> None:
        """All that `target` had to know when a poll was `sent` is applied."""
        if target is self._rebuilding:
            self._rebuilding = None
            self._decide_by(target)
            self.generation += 1
            logger.warning("log rebuilt", log=self.log, position=target.position)
            self._note_position()
        if target is not self._replica:
            return
        if self._polled_at is None or sent.boottime >= self._polled_at.boottime:
            self._note_poll(sent, max_age)
        self._stopped = None
        self._stop_alarm.reset()
        self._metrics.stopped.labels(self.log).set(0)

    # --- what the broker brings ---

    def push_started(self) -> None:
        """The queue is bound: what came before is read now, what comes is pushed."""
        self._pushed = True
        self._silent_polls = 0
        self.silent.clear()
        self._metrics.pushed.labels(self.log).set(1)
        self._hurry.set()

    def push_stopped(self) -> None:
        self._pushed = False
        self._metrics.pushed.labels(self.log).set(0)
        self._hurry.set()

    async def deliver(self, headers: Mapping[str, object], body: bytes) -> None:
        """Apply a broker message as far as it fits; raises nothing, skips nothing."""
        await self.settle(self.offer(headers, body), headers, body)

    def offer(self, headers: Mapping[str, object], body: bytes) -> Offer:
        """Apply a broker message if it fits, at once.

        If it did not, it must be settled before another one is offered.
        """
        self._silent_polls = 0
        try:
            message = decode_message(self.log, headers, body)
        except UnreadableMessage as error:
            return self._doubt("unreadable", error)
        if self._rebuilding is not None:
            return Offer.SETTLED  # the feed will bring these events
        if message.first > self.position + 1:
            self._count_message("hole")
            return Offer.EARLY
        try:
            applied = self._take_message(message)
        except _Withheld:
            self._count_message("withheld")
            return Offer.DOUBTED
        except (Diverged, ChainBroken, UnreadableEvent) as error:
            return self._doubt("refused", error)
        self._count_message("applied" if applied else "seen")
        return Offer.SETTLED

    async def settle(
        self, offered: Offer, headers: Mapping[str, object], body: bytes
    ) -> None:
        """Read the feed where an offer left something open."""
        if offered is Offer.EARLY:
            await self._fill()
            if self._fits(headers):
                offered = self.offer(headers, body)
        if offered is Offer.DOUBTED:
            await self._fill()

    def _fits(self, headers: Mapping[str, object]) -> bool:
        first = headers.get("first")
        return isinstance(first, int) and first <= self.position + 1

    def _note_silence(self, *, brought: int) -> None:
        """A queue that lost its binding looks like a log at rest, but for the polls."""
        if self._pushed and brought:
            self._silent_polls += 1
            if self._silent_polls >= SILENT_POLLS:
                self.silent.set()

    def _take_message(self, message: EventMessage) -> int:
        replica = self._replica
        before = replica.hash_at(message.first - 1)
        if before is not None and before != message.hash_before:
            raise Diverged(message.first - 1)
        applied = 0
        try:
            for recorded in message.events:
                applied += self._take(replica, recorded)
        finally:
            self._note_applied(replica, applied, "broker")
        return applied

    async def _fill(self) -> None:
        """Read the feed because of a message, unless that is known to be no use now."""
        loop = asyncio.get_running_loop()
        if self._stopped is not None or loop.time() < self._failed_until:
            return
        await asyncio.sleep(max(0.0, self._fill_after - loop.time()))
        self._fill_after = loop.time() + FILL_PAUSE
        with contextlib.suppress(NotLevel):
            await self.refresh(self._poll_interval)

    # --- what is told ---

    def _note_applied(self, target: Replica[StateT], applied: int, way: str) -> None:
        if applied:
            self._metrics.applied.labels(self.log, way).inc(applied)
            if target is self._replica:
                self._note_position()

    def _note_position(self) -> None:
        self._metrics.position.labels(self.log).set(self.position)
        for waiter in self._waiting:
            position, reached = waiter
            if position <= self.position and not reached.done():
                reached.set_result(None)

    def _unavailable(self, error: SourceUnavailable) -> Exception:
        self._metrics.polls.labels(self.log, "unavailable").inc()
        self._trouble = str(error)
        loop = asyncio.get_running_loop()
        self._failed_until = loop.time() + self._poll_interval.total_seconds()
        if self._poll_alarm.admits():
            logger.warning("log cannot be read", log=self.log, reason=str(error))
        return error

    def _diverged(self, target: Replica[StateT], error: Exception) -> Exception:
        """Start over beside the state that still answers."""
        self._metrics.polls.labels(self.log, "diverged").inc()
        if target is not (self._rebuilding or self._replica):
            return error  # somebody else has started over already
        now = asyncio.get_running_loop().time()
        if now > self._diverged_at + CALM:
            self._rebuilds_in_a_row = 0
        self._diverged_at = now
        self._rebuild_after = now + min(
            2.0**self._rebuilds_in_a_row - 1, LONGEST_REBUILD_PAUSE
        )
        self._rebuilds_in_a_row = min(self._rebuilds_in_a_row + 1, 10)
        self._metrics.rebuilds.labels(self.log).inc()
        logger.error(
            "log has another history, rebuilding",
            log=self.log,
            position=target.position,
            hash=target.hash.hex(),
            reason=str(error),
        )
        self._rebuilding = Replica(self.log, self._new_state())
        return error

    def _stop(self, error: Exception) -> Exception:
        self._metrics.polls.labels(self.log, "stopped").inc()
        self._metrics.stopped.labels(self.log).set(1)
        self._stopped = str(error)
        if self._stop_alarm.admits():
            logger.error(
                "log stopped at an event that cannot be applied",
                log=self.log,
                position=self.position,
                reason=str(error),
                exc_info=error.__cause__,
            )
        return error

    def _doubt(self, outcome: str, error: Exception) -> Offer:
        self._count_message(outcome)
        if self._message_alarm.admits():
            logger.warning(
                "broker message not believed",
                log=self.log,
                outcome=outcome,
                reason=str(error),
            )
        return Offer.DOUBTED

    def _count_message(self, outcome: str) -> None:
        self._metrics.messages.labels(self.log, outcome).inc()

    def _note_poll(self, sent: Moment, max_age: float) -> None:
        """What is applied is what the log held when that poll was sent."""
        most = self._max_age = self._shortened(max_age)
        self._polled_at = sent
        self.fresh_until = Moment(sent.boottime + most, sent.wall + most)

    def _shortened(self, max_age: float) -> float:
        if self._own_max_age is None:
            return max_age
        return min(max_age, self._own_max_age.total_seconds())
