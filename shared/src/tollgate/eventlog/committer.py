"""Group commit: the appends of a process that wait at the same time share one call.

Lock and disk flush are paid once per call. One call is in flight at a time; whatever
queues up meanwhile is the next.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence

import asyncpg
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
    encode_group,
)

MAX_GROUPS = 200
"""Groups in one call: beyond it a longer call gains little and delays its first."""

MAX_WAITING = 10_000
"""Groups that may wait; more would only time out."""

DEADLINE = 5.0
"""Seconds after which a caller is told, whatever the log is doing."""

RETRY_PAUSE = 0.1
"""Seconds between tries while the log cannot be reached."""

logger = structlog.get_logger(__name__)


class _Waiting:
    """A group, its caller, and what is known of it."""

    __slots__ = ("deadline", "encoded", "future", "sent")

    def __init__(self, encoded: EncodedGroup, deadline: float) -> None:
        self.encoded = encoded
        self.future: asyncio.Future[Appended] = (
            asyncio.get_running_loop().create_future()
        )
        self.deadline = deadline
        self.sent = False

    @property
    def can_be_sent_again(self) -> bool:
        """Whether the log itself would notice a second copy of the group."""
        return self.encoded.group.command_id is not None

    def settle(self, outcome: Appended | Exception) -> None:
        if self.future.done():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)

    def give_up(self) -> None:
        """Tell the caller what is known: nothing written, or nobody knows."""
        self.settle(
            AppendOutcomeUnknown("the answer of the log was lost")
            if self.sent
            else LogUnavailable("the log does not answer")
        )


class GroupCommitter:
    """Appends for one log. `run` must be running while `append` is called."""

    def __init__(self, url: str, schema: str, application_name: str) -> None:
        self._url = url
        self._application_name = application_name
        self._call = (
            f"SELECT * FROM {schema}.append("  # noqa: S608 - a name of our own
            "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
        )
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._connection: Connection | None = None

    async def append(self, group: AppendGroup) -> Appended:
        """Append `group` within `DEADLINE` seconds, or raise as `errors` tells."""
        if len(self._waiting) >= MAX_WAITING:
            raise LogUnavailable("too many appends are waiting")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(encode_group(group), loop.time() + DEADLINE)
        self._waiting.append(waiting)
        self._wake.set()
        timer = loop.call_at(waiting.deadline, waiting.give_up)
        try:
            return await waiting.future
        finally:
            timer.cancel()

    async def run(self) -> None:
        """Commit whatever waits, until cancelled; then nobody is left waiting."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    count = min(MAX_GROUPS, len(self._waiting))
                    batch = [self._waiting.popleft() for _ in range(count)]
                    await self._commit(batch)
        finally:
            self._drop_connection()
            while self._waiting:
                self._waiting.popleft().give_up()

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        """Settle every group of `batch`, trying again where that is safe."""
        try:
            while batch := [each for each in batch if not each.future.done()]:
                try:
                    connection = await self._connected()
                    await self._send(connection, batch)
                except _TryAgain as trouble:
                    logger.warning("append failed", reason=trouble.reason)
                    await asyncio.sleep(RETRY_PAUSE)
                    _tell_who_has_no_time_left(batch)
                except (asyncpg.PostgresError, ValueError) as error:
                    await self._try_each_alone(batch, error)
        finally:  # cancelled: whoever still waits is told what is known
            for each in batch:
                each.give_up()

    async def _send(self, connection: Connection, batch: Sequence[_Waiting]) -> None:
        retried = {each for each in batch if each.sent}
        arguments = arguments_of([each.encoded for each in batch])
        for each in batch:
            each.sent = True
        try:
            rows = await connection.fetch(self._call, *arguments)
        except UNDONE as error:
            for each in batch:
                each.sent = each in retried
            if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                self._drop_connection()  # a standby: the primary may be elsewhere
            raise _TryAgain(error) from error
        except LOST as error:
            if isinstance(error, ValueError):
                raise  # asyncpg could not encode an argument: it is about the data
            self._drop_connection()
            for each in batch:
                if not each.can_be_sent_again:
                    each.give_up()
            raise _TryAgain(error) from error
        for each, row in zip(batch, rows, strict=True):
            first, last = row["first_position"], row["last_position"]
            match row["outcome"]:
                case "appended":
                    each.settle(Appended(first, last))
                case "conflict":
                    each.settle(WrongExpectedVersion(row["detail"]))
                case "repeated" if each in retried:
                    each.settle(Appended(first, last))  # our own first try got through
                case "repeated":
                    each.settle(CommandRepeated(first, last))
                case _:
                    each.settle(AlreadySpent())

    async def _try_each_alone(
        self, batch: Sequence[_Waiting], error: Exception
    ) -> None:
        """The call failed on its data: one group's fault is nothing to the others."""
        for each in batch:
            each.sent = False
        if len(batch) == 1:
            logger.error("append refused by the database", reason=type(error).__name__)
            batch[0].settle(error)
            return
        for each in batch:
            await self._commit([each])

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            try:
                self._connection = await connect(
                    self._url, application_name=self._application_name
                )
            except (*LOST, *UNDONE) as error:
                raise _TryAgain(error) from error
        return self._connection

    def _drop_connection(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.terminate()
            self._connection = None


def _tell_who_has_no_time_left(batch: Sequence[_Waiting]) -> None:
    """A try that may outlast its caller would turn a plain no into "unknown"."""
    now = asyncio.get_running_loop().time()
    for each in batch:
        if each.deadline - now < LOCK_TIMEOUT:
            each.give_up()


class _TryAgain(Exception):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.reason = type(error).__name__
