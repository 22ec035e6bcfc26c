"""Runs commands: decide on what is known, append if that still holds, else again.

The log refuses the facts if anything that the decision relied on has moved meanwhile.
Then the registry is read again and the command decided anew, for a bounded time.
"""

import asyncio
import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Generic, TypeVar, overload

import msgspec

from app_registry.directory import Directory
from app_registry.domain.authorization import Caller
from app_registry.domain.commands import (
    AccessTokenCommand,
    AppCommand,
    Command,
    ConnectionCommand,
    MemberCommand,
    SourceCommand,
)
from app_registry.domain.decide import decide
from app_registry.domain.errors import IdempotencyKeyReused
from app_registry.domain.evidence import Evidence
from app_registry.domain.facts import Facts
from app_registry.entities import Entity, after, blank, fold, stream_of
from tollgate.clock import Clock
from tollgate.errors import DomainError, Unavailable
from tollgate.eventlog import (
    AppendGroup,
    AppendOutcomeUnknown,
    CommandRepeated,
    EventLog,
    LogUnavailable,
    WrongExpectedVersion,
)
from tollgate.events import EventMetadata, RecordedEvent
from tollgate.ids import ID_LENGTH, random_text
from tollgate.messaging.subscription import NotLevel, Subscription
from tollgate.registry.access_token import AccessToken
from tollgate.registry.member import Member
from tollgate.registry.oauth_app import OAuthApp
from tollgate.registry.source import Source
from tollgate.registry.source_types import SourceType

PATIENCE = 5.0
"""Seconds for which a command is decided again while others get in first."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.05
"""Seconds before the next try: at random, doubling from the first to the longest."""

LEVEL_DEADLINE = timedelta(seconds=3)
"""How long the registry's own log may take to be read."""

EntityT = TypeVar("EntityT", bound=Entity)


class Idempotency(msgspec.Struct, frozen=True):
    """The `Idempotency-Key` of a request, and a digest of what was asked with it."""

    key: str
    digest: str


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and from where: what goes into the metadata of the events."""

    caller: Caller
    request_id: str | None = None
    client_address: str | None = None
    idempotency: Idempotency | None = None


class Outcome(msgspec.Struct, Generic[EntityT], frozen=True, kw_only=True):
    """The thing as the command left it, also if it was `replayed` from the log."""

    entity: EntityT
    replayed: bool = False


class CommandHandler:
    """Runs commands against the registry log.

    A command is first decided on what is known already, so whoever asks makes that
    `level` before: authenticating the caller does.
    """

    def __init__(
        self,
        log: EventLog,
        known: Subscription[Directory],
        *,
        types: Mapping[str, SourceType],
        clock: Clock,
    ) -> None:
        self._log = log
        self._known = known
        self._types = types
        self._clock = clock

    @overload
    async def handle(
        self, command: AppCommand, asking: Asking
    ) -> Outcome[OAuthApp]: ...
    @overload
    async def handle(
        self, command: SourceCommand | ConnectionCommand, asking: Asking
    ) -> Outcome[Source]: ...
    @overload
    async def handle(
        self, command: MemberCommand, asking: Asking
    ) -> Outcome[Member]: ...
    @overload
    async def handle(
        self, command: AccessTokenCommand, asking: Asking
    ) -> Outcome[AccessToken]: ...

    async def handle(self, command: Command, asking: Asking) -> Outcome[Any]:
        """Record what follows from `command`, once, or raise why it is refused.

        A command whose idempotency key is in the log already is answered from there.
        Raises `Unavailable` if the log cannot be asked or others always get in first.
        """
        try:
            replayed = await self._replay(command, asking)
            return replayed or await self._decide_until_recorded(command, asking)
        except DomainError:
            # The same request may have been recorded by another try meanwhile: then it
            # is answered as that one was, and not with what came of it.
            if replayed := await self._replay(command, asking):
                return replayed
            raise
        except LogUnavailable as error:
            raise Unavailable("nothing can be recorded at the moment") from error
        except AppendOutcomeUnknown as error:
            raise Unavailable(
                "it is not known whether this was recorded: ask again with the same"
                " Idempotency-Key"
            ) from error

    async def _decide_until_recorded(
        self, command: Command, asking: Asking
    ) -> Outcome[Any]:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + PATIENCE
        pause = SHORTEST_PAUSE
        while loop.time() < give_up_at:
            try:
                return await self._decide(command, asking)
            except WrongExpectedVersion:
                await asyncio.sleep(random.uniform(0, pause))  # noqa: S311
                pause = min(2 * pause, LONGEST_PAUSE)
                await level(self._known)
            except CommandRepeated:
                replayed = await self._replay(command, asking)
                if replayed is not None:
                    return replayed
        raise Unavailable("others keep changing the same thing")

    async def _decide(self, command: Command, asking: Asking) -> Outcome[Any]:
        directory = self._known.state
        evidence = Evidence(directory.state)
        facts = decide(
            command,
            evidence,
            caller=asking.caller,
            now=self._clock.now(),
            types=self._types,
        )
        stream = stream_of(command)
        before = directory.entity(stream) or blank(stream)
        if facts:
            await self._append(facts, evidence, asking)
        return Outcome(entity=after(before, stream, facts))

    async def _append(self, facts: Facts, evidence: Evidence, asking: Asking) -> None:
        idempotency = asking.idempotency
        command_id = _command_id(asking) or random_text(ID_LENGTH)
        await self._log.append(
            AppendGroup(
                events=facts,
                expected=evidence.relied_on,
                metadata=EventMetadata(
                    actor=asking.caller.stream,
                    request_id=asking.request_id,
                    client_address=asking.client_address,
                    command_id=command_id,
                    command_digest=idempotency.digest if idempotency else None,
                ),
                command_id=command_id,
            )
        )

    async def _replay(self, command: Command, asking: Asking) -> Outcome[Any] | None:
        """The outcome of the same command as the log has it, if it is there."""
        command_id = _command_id(asking)
        if command_id is None or asking.idempotency is None:
            return None
        events = await self._log.read_command(command_id)
        if not events:
            return None
        if _digest_of(events[0]) != asking.idempotency.digest:
            raise IdempotencyKeyReused("this key was used for another request")
        # What was made then has the id that it got then: only the kind is the same.
        category = stream_of(command).partition("-")[0]
        last = [each for each in events if each.category == category][-1]
        history = await self._log.load(last.stream, to_version=last.version)
        return Outcome(entity=fold(last.stream, history), replayed=True)


async def level(known: Subscription[Directory]) -> Directory:
    """The directory with all that the log held when this was called."""
    try:
        await known.refresh(LEVEL_DEADLINE)
    except NotLevel as error:
        raise Unavailable("the registry cannot be read at the moment") from error
    return known.state


def _command_id(asking: Asking) -> str | None:
    """Names the command in the log: a key means something to its own actor only."""
    if asking.idempotency is None:
        return None
    return f"{asking.caller.stream}:{asking.idempotency.key}"


def _digest_of(recorded: RecordedEvent) -> str | None:
    raw = recorded.metadata
    if raw is None:
        return None
    return msgspec.json.decode(raw, type=EventMetadata).command_digest
