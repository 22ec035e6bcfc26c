"""Keeps the day on which an access token was last used, off the path of the request."""

import asyncio
from datetime import date

import structlog

from app_registry.directory import Directory
from tollgate.clock import Clock
from tollgate.eventlog import (
    AppendGroup,
    AppendOutcomeUnknown,
    EventLog,
    LogUnavailable,
    WrongExpectedVersion,
)
from tollgate.events.registry import AccessTokenUsed
from tollgate.messaging.subscription import Subscription
from tollgate.registry.access_token import AccessToken
from tollgate.registry.streams import access_token_stream

RETRY_PAUSE = 5.0
"""Seconds before a day that could not be recorded is tried again."""

MAX_NOTED = 10_000

logger = structlog.get_logger(__name__)


class UsageRecorder:
    """One event for each token and day at most, whoever of the replicas is first."""

    def __init__(
        self, log: EventLog, known: Subscription[Directory], clock: Clock
    ) -> None:
        self._log = log
        self._known = known
        self._clock = clock
        self._noted: dict[str, date] = {}
        self._wake = asyncio.Event()

    def note(self, token: AccessToken) -> None:
        """`token` has just opened the door."""
        today = self._clock.now().date()
        if token.last_used_on is not None and token.last_used_on >= today:
            return
        if len(self._noted) < MAX_NOTED:
            self._noted[token.id] = today
            self._wake.set()

    async def run(self) -> None:
        """Record what is noted, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._noted:
                token_id, day = next(iter(self._noted.items()))
                try:
                    await self._record(token_id, day)
                except (LogUnavailable, AppendOutcomeUnknown) as error:
                    logger.warning("use of a token not recorded", reason=str(error))
                    await asyncio.sleep(RETRY_PAUSE)
                else:
                    del self._noted[token_id]

    async def _record(self, token_id: str, day: date) -> None:
        token = self._known.state.state.access_tokens.get(token_id)
        if token is None or not token.exists:
            return
        if token.last_used_on is not None and token.last_used_on >= day:
            return
        stream = access_token_stream(token_id)
        try:
            await self._log.append(
                AppendGroup(
                    events=[(stream, AccessTokenUsed(day=day))],
                    expected={stream: token.version},
                )
            )
        except WrongExpectedVersion:
            return  # another replica was first, or it is revoked; its next use tells
