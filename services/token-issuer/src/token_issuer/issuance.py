"""The issuance log: every token minted, and every assertion used up.

An assertion is spent in the same append as the event of its token, so that it works
once across all replicas, and is not lost when no token comes of it. This is the last
step of every request that shows one: whether enough is known of the present moment is
asked here, after everything was decided.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from token_issuer.access_tokens import DraftedToken
from token_issuer.callers import Caller
from token_issuer.client_authentication import AuthenticatedClient
from token_issuer.knowledge import Knowledge
from tollgate.errors import Unavailable
from tollgate.eventlog import (
    AlreadySpent,
    Appended,
    AppendGroup,
    AppendOutcomeUnknown,
    EventLog,
    LogUnavailable,
    Outcome,
    Spend,
)
from tollgate.oauth.errors import InvalidClient

REMEMBERED = timedelta(hours=2)
"""How much longer than it is good a spent assertion is remembered, at least: a replica
whose clock is that wrong still finds it."""


class ToRecord(Protocol):
    """A token that nobody has yet, and whom it is for; the log tells `done`."""

    @property
    def client(self) -> AuthenticatedClient: ...
    @property
    def drafted(self) -> DraftedToken: ...
    @property
    def caller(self) -> Caller: ...
    @property
    def done(self) -> Outcome: ...


class Issuance:
    """Raises `InvalidClient` for an assertion used before, else `Unavailable`."""

    def __init__(self, log: EventLog, knowledge: Knowledge) -> None:
        self._log = log
        self._knowledge = knowledge

    def record(self, tokens: Sequence[ToRecord]) -> None:
        """For each: record it and spend its assertion, or neither, and tell `done`.

        All of them were decided without waiting in between, so the present moment is
        asked for once.
        """
        self._knowledge.require_fresh()
        for token in tokens:
            try:
                self._log.submit(_group_of(token), token.done)
            except LogUnavailable as full:
                token.done.set_exception(full)

    async def spend(self, client: AuthenticatedClient) -> None:
        """Use up the assertion for what is not a token, or raise."""
        self._knowledge.require_fresh()
        done = asyncio.get_running_loop().create_future()
        self._log.submit(AppendGroup(spend=_spend(client)), done)
        await self.outcome(done)

    async def outcome(self, done: "asyncio.Future[Appended]") -> None:
        """Wait until it is recorded, or raise."""
        try:
            await done
        except (AlreadySpent, LogUnavailable, AppendOutcomeUnknown) as error:
            raise in_words_of_oauth(error) from None


def in_words_of_oauth(error: Exception) -> Exception:
    """What a failure of `done` means for whoever waits; others stay as they are."""
    match error:
        case AlreadySpent():
            return InvalidClient("the client_assertion was used before")
        case LogUnavailable() | AppendOutcomeUnknown():
            return Unavailable("nothing can be recorded at the moment")
        case _:
            return error


def _group_of(token: ToRecord) -> AppendGroup:
    """The token's own name is the command id: if the log's answer is lost, the log
    itself tells on the retry whether it was recorded.
    """
    issued, stream = token.drafted.issued, f"oauth_app-{token.client.app.id}"
    return AppendGroup(
        events=((stream, issued),),
        metadata=token.caller.metadata(stream, command_id=issued.jti),
        command_id=issued.jti,
        spend=_spend(token.client),
    )


def _spend(client: AuthenticatedClient) -> Spend:
    return Spend(
        client_id=client.app.id,
        jti=client.assertion.jti,
        expires_at=client.assertion.expires_at + REMEMBERED,
    )
