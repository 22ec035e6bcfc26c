"""Group commit: the appends of a process that wait at the same time share one call.

Lock and disk flush are paid once per call. Whatever queues up while a call is in flight
is the next; if that is many, it is sent at once, on a connection of its own, and waits
for the lock in the database while the call before it is written to disk (ADR 23).
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple, Protocol

import asyncpg
import msgspec
import structlog

from tollgate.database import (
    LOCK_TIMEOUT,
    LOST,
    UNDONE,
    Connection,
    connect,
)
from tollgate.eventlog.errors import (
    AlreadySpent,
    AppendOutcomeUnknown,
    CommandRepeated,
    LogUnavailable,
    WrongExpectedVersion,
)
from tollgate.eventlog.groups import (
    Appended,
    AppendGroup,
    EncodedGroup,
    arguments_of,
    call_of,
    encode_group,
)

MAX_GROUPS = 200
"""Groups in one call: beyond it a longer call gains little and delays its first."""

CALLS_IN_FLIGHT = 2
"""The database works on one while the other is made or told; a third would wait."""

WORTH_ANOTHER_CALL = 24
"""Groups worth a call of their own beside one in flight; fewer wait for its end."""

MAX_WAITING = 10_000
"""Groups that may wait; more would only time out."""

DEADLINE = 5.0
"""Seconds after which a caller is told, whatever the log is doing."""

RETRY_PAUSE = 0.1
"""Seconds between tries while the log cannot be reached."""

logger = structlog.get_logger(__name__)


class Outcome(Protocol):
    """What a caller learns of its group from; an `asyncio.Future` is one.

    It is settled once, unless it is `done` before: then nobody waits any more. Neither
    way of settling it may call back into the log. What either raises is logged and is
    nothing to others, whose groups were committed in the same call.
    """

    def done(self) -> bool: ...
    def set_result(self, appended: Appended, /) -> None: ...
    def set_exception(self, error: Exception, /) -> None: ...


class _Waiting(msgspec.Struct, eq=False):
    """A group, its caller, and what is known of it."""

    encoded: EncodedGroup
    deadline: float
    outcome: Outcome
    sent: bool = False
    told: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it, any more."""
        return self.told or self.outcome.done()

    @property
    def can_be_sent_again(self) -> bool:
        """Whether the log itself would notice a second copy of the group."""
        return self.encoded.group.command_id is not None

    def settle(self, found: Appended | Exception) -> None:
        if self.told or self.outcome.done():
            return
        self.told = True
        try:
            if isinstance(found, Exception):
                self.outcome.set_exception(found)
            else:
                self.outcome.set_result(found)
        except Exception as error:  # noqa: BLE001 - else the call would be made again
            # Without the text and the trace, which may hold what the caller sent.
            logger.error(  # noqa: TRY400
                "a caller cannot be told", reason=type(error).__name__
            )

    def give_up(self) -> None:
        """Tell the caller what is known: nothing written, or nobody knows."""
        self.settle(
            AppendOutcomeUnknown("the answer of the log was lost")
            if self.sent
            else LogUnavailable("the log does not answer")
        )


class _Packed(NamedTuple):
    """The arguments of a call for just these groups."""

    groups: list[_Waiting]
    arguments: list[Any]


_NOTHING_PACKED = _Packed([], [])


class GroupCommitter:
    """Appends for one log. At least one `run` must be running while `append` is called.

    Each `run` has a connection of its own and keeps one call in flight. Between calls
    in flight at the same time there is no order: whoever wants one append to follow
    another awaits the first.
    """

    def __init__(self, url: str, schema: str, application_name: str) -> None:
        self.on_appended: Callable[[int], object] = int
        """Is told the last position of each call that appended anything."""
        self._url = url
        self._application_name = application_name
        self._call = call_of(schema)
        self._waiting: deque[_Waiting] = deque()
        self._lanes = 0
        self._idle: list[_Lane] = []
        self._in_flight: list[list[_Waiting]] = []
        self._packed = _NOTHING_PACKED  # ahead, for the next call
        self._sweep: asyncio.TimerHandle | None = None

    async def append(self, group: AppendGroup) -> Appended:
        """Append `group` within `DEADLINE` seconds, or raise as `errors` tells."""
        outcome: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self.submit(group, outcome)
        return await outcome

    def submit(self, group: AppendGroup, outcome: Outcome) -> None:
        """As `append`, for a caller that is told by `outcome`.

        Who makes it `done` before the group is sent takes the group back.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise LogUnavailable("too many appends are waiting")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(encode_group(group), loop.time() + DEADLINE, outcome)
        self._waiting.append(waiting)
        if self._in_flight and len(self._waiting) == 1:
            loop.call_soon(self._pack_ahead)
        if self._sweep is None:
            self._sweep = loop.call_at(waiting.deadline, self._tell_who_waits_too_long)
        self._wake_a_lane()

    async def run(self) -> None:
        """Commit whatever waits, until cancelled; then nobody is left waiting."""
        lane = _Lane(self._url, self._application_name)
        self._lanes += 1
        try:
            while True:
                if not self._is_worth_a_call():
                    await self._rest(lane)
                elif await self._is_connected(lane):
                    await self._commit_the_next(lane)
        finally:
            self._lanes -= 1
            lane.drop_connection()
            while self._waiting:
                self._waiting.popleft().give_up()

    def _is_worth_a_call(self) -> bool:
        """Whether what waits should be sent now, by a lane that has nothing to do."""
        if self._in_flight:
            return len(self._waiting) >= WORTH_ANOTHER_CALL
        return bool(self._waiting)

    def _wake_a_lane(self) -> None:
        all_rest = len(self._idle) == self._lanes
        if self._idle and (all_rest or len(self._waiting) >= WORTH_ANOTHER_CALL):
            self._idle.pop().wake.set()

    def _pack_ahead(self) -> None:
        """While the database has a call: it would wait for what is done after it."""
        if self._in_flight and len(self._waiting) < WORTH_ANOTHER_CALL:
            with contextlib.suppress(ValueError):  # that it cannot be is told in turn
                self._packed = _pack([*self._waiting])

    async def _rest(self, lane: "_Lane") -> None:
        lane.wake.clear()
        self._idle.append(lane)
        try:
            await lane.wake.wait()
        finally:
            if lane in self._idle:
                self._idle.remove(lane)

    async def _is_connected(self, lane: "_Lane") -> bool:
        """Connect before anything is taken: another lane may be able to send it."""
        try:
            await lane.connected()
        except _TryAgain as trouble:
            await self._pause(trouble, self._waiting)
            self._waiting = deque(each for each in self._waiting if not each.is_over)
            return False
        return True

    async def _commit_the_next(self, lane: "_Lane") -> None:
        count = len(self._waiting)
        if not self._in_flight and self._lanes > 1 and count >= 2 * WORTH_ANOTHER_CALL:
            count //= 2  # the other half goes at once as well, by another lane
        batch = [self._waiting.popleft() for _ in range(min(count, MAX_GROUPS))]
        self._in_flight.append(batch)
        self._wake_a_lane()
        try:
            await self._commit(lane, batch)
        finally:
            self._in_flight.remove(batch)

    async def _commit(self, lane: "_Lane", batch: list[_Waiting]) -> None:
        """Settle every group of `batch`, trying again where that is safe."""
        try:
            while batch := [
                each for each in batch if not (each.told or each.outcome.done())
            ]:
                try:
                    await self._send(lane, batch)
                    batch = []  # all of them are told
                except _TryAgain as trouble:
                    await self._pause(trouble, batch)
                except (asyncpg.PostgresError, ValueError) as error:
                    await self._try_each_alone(lane, batch, error)
        finally:  # cancelled: whoever still waits is told what is known
            for each in batch:
                each.give_up()

    async def _send(self, lane: "_Lane", batch: list[_Waiting]) -> None:
        connection = await lane.connected()
        retried = {each for each in batch if each.sent}
        packed, self._packed = self._packed, _NOTHING_PACKED
        if packed.groups != batch:
            packed = _pack(batch)
        for each in batch:
            each.sent = True
        try:
            (answer,) = await connection.fetch(self._call, *packed.arguments)
        except UNDONE as error:
            for each in batch:
                each.sent = each in retried
            if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                lane.drop_connection()  # a standby: the primary may be elsewhere
            raise _TryAgain(error) from error
        except LOST as error:
            if isinstance(error, ValueError):
                raise  # asyncpg could not encode an argument: it is about the data
            lane.drop_connection()
            for each in batch:
                if not each.can_be_sent_again:
                    each.give_up()
            raise _TryAgain(error) from error
        if answer["outcomes"] is None:
            before = answer["before"]
            last = before + sum(len(each.encoded.data) for each in batch)
            if last > before:
                # First, so that the log is read while the callers tell of it.
                self.on_appended(last)
            _settle_all_as_appended(batch, before)
        elif last := _settle_one_by_one(batch, retried, answer):
            self.on_appended(last)

    async def _try_each_alone(
        self, lane: "_Lane", batch: Sequence[_Waiting], error: Exception
    ) -> None:
        """The call failed on its data: one group's fault is nothing to the others."""
        for each in batch:
            each.sent = False
        if len(batch) == 1:
            logger.error("append refused by the database", reason=type(error).__name__)
            batch[0].settle(error)
            return
        for each in batch:
            await self._commit(lane, [each])

    async def _pause(self, trouble: "_TryAgain", held_up: Iterable[_Waiting]) -> None:
        """Before the next try; it must not outlast its callers.

        Else a plain no would turn into "unknown".
        """
        logger.warning("append failed", reason=trouble.reason)
        await asyncio.sleep(RETRY_PAUSE)
        now = asyncio.get_running_loop().time()
        for each in held_up:
            if each.deadline - now < LOCK_TIMEOUT:
                each.give_up()

    def _tell_who_waits_too_long(self) -> None:
        """One timer for all appends, set for whoever is next to run out of time."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        next_deadline: float | None = None
        for each in chain(*self._in_flight, self._waiting):
            if each.deadline <= now:
                each.give_up()
            elif not each.is_over:
                next_deadline = min(each.deadline, next_deadline or each.deadline)
        self._sweep = (
            None
            if next_deadline is None
            else loop.call_at(next_deadline, self._tell_who_waits_too_long)
        )


class _Lane:
    """A connection that appends are sent on, one call at a time."""

    def __init__(self, url: str, application_name: str) -> None:
        self._url = url
        self._application_name = application_name
        self._connection: Connection | None = None
        self.wake = asyncio.Event()

    async def connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            try:
                self._connection = await connect(
                    self._url, application_name=self._application_name
                )
            except (*LOST, *UNDONE) as error:
                raise _TryAgain(error) from error
        return self._connection

    def drop_connection(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.terminate()
            self._connection = None


def _pack(groups: list[_Waiting]) -> _Packed:
    return _Packed(groups, arguments_of([each.encoded for each in groups]))


def _settle_all_as_appended(batch: Iterable[_Waiting], before: int) -> None:
    """Positions follow one after the other, so the first tells all."""
    last = before
    for each in batch:
        if count := len(each.encoded.data):
            each.settle(Appended(last + 1, last + count))
            last += count
        else:
            each.settle(Appended(None, None))


def _settle_one_by_one(
    batch: Iterable[_Waiting], retried: Collection[_Waiting], answer: asyncpg.Record
) -> int:
    """The last position of those that were appended, or 0."""
    last = 0
    _, *columns = answer
    for each, *told in zip(batch, *columns, strict=True):
        outcome = _outcome_of(told, was_retried=each in retried)
        each.settle(outcome)
        if isinstance(outcome, Appended):
            last = max(last, outcome.last or 0)
    return last


def _outcome_of(told: Sequence[Any], *, was_retried: bool) -> Appended | Exception:
    outcome, detail, first, last = told
    match outcome:
        case "appended":
            return Appended(first, last)
        case "conflict":
            return WrongExpectedVersion(detail)
        case "repeated" if was_retried:
            return Appended(first, last)  # our own first try got through
        case "repeated":
            return CommandRepeated(first, last)
        case _:
            return AlreadySpent()


class _TryAgain(Exception):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.reason = type(error).__name__
