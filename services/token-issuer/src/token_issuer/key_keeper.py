"""Does what the life of the signing keys asks for, on every replica alike.

A key's private half is stored before the key is announced. Replicas that announce at
the same time use one command id, so the log takes the first, and the others destroy
what they made; every other change names the versions that it was decided on.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from token_issuer.key_life import (
    Announce,
    Change,
    KeyPolicy,
    Keys,
    compromise,
    next_step,
    rotate,
)
from token_issuer.key_store import KeyStore
from token_issuer.keyring import SIGNING_STATUSES, Keyring
from tollgate.errors import Unavailable
from tollgate.eventlog import (
    AppendGroup,
    AppendOutcomeUnknown,
    CommandRepeated,
    EventLog,
    LogUnavailable,
    WrongExpectedVersion,
)
from tollgate.events import EventMetadata
from tollgate.events.recorded import tag_of
from tollgate.events.tokens import (
    SigningKeyActivated,
    SigningKeyAnnounced,
    SigningKeyEvent,
)
from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.signing_keys import generate_signing_key

ORPHANED_AFTER = timedelta(hours=1)
"""Age of a private key that no event names, from which on it was given up."""

ATTEMPTS = 5

logger = structlog.get_logger(__name__)

ReadKeys = Callable[[], Awaitable[Keys]]
"""All keys of the log, as it is when asked; raises `Unavailable`."""


class KeyKeeper:
    """`read_keys` and the store are asked anew for every decision."""

    def __init__(
        self,
        *,
        log: EventLog,
        store: KeyStore,
        keyring: Keyring,
        read_keys: ReadKeys,
        policy: KeyPolicy,
        alg: Algorithm,
    ) -> None:
        self._log = log
        self._store = store
        self._keyring = keyring
        self._read_keys = read_keys
        self._policy = policy
        self._alg = alg

    async def tend(self) -> None:
        """Do all that is due now, then hold the private halves that are in use.

        Raises `Unavailable` if the database cannot be asked.
        """
        for _ in range(ATTEMPTS):
            keys = await self._read_keys()
            step = next_step(keys, await self._store.now(), self._policy)
            match step:
                case None:
                    break
                case Announce():
                    await self._announce(step)
                case Change():
                    with suppress(WrongExpectedVersion):  # another replica was first
                        await self._append(step)
        keys = await self._read_keys()
        await self._keyring.load(keys)
        await self._destroy_what_signs_no_more(keys)

    async def rotate(self) -> None:
        """Replace the active key now, or raise `RotationRefused`."""
        await self._change(lambda keys, now: rotate(keys, now, self._policy))

    async def compromise(self, kid: str) -> None:
        """End all tokens of a key, or raise `RotationRefused`."""
        await self._change(lambda keys, now: compromise(keys, kid, now, self._policy))

    async def run(self, interval: timedelta) -> None:
        """Tend at once and then every `interval`, until cancelled."""
        while True:
            try:
                await self.tend()
            except Unavailable as trouble:
                logger.warning("cannot tend the signing keys", reason=str(trouble))
            await asyncio.sleep(interval.total_seconds())

    async def _announce(self, step: Announce) -> None:
        key = await asyncio.to_thread(generate_signing_key, self._alg)
        await self._keyring.keep(key)
        stream = f"signing_key-{key.kid}"
        announced = SigningKeyAnnounced(alg=key.public.alg.value, pem=key.public.pem)
        events: list[tuple[str, SigningKeyEvent]] = [(stream, announced)]
        if step.signs_at_once:
            events.append((stream, SigningKeyActivated()))
        change = Change(events=events, expected={stream: 0})
        try:
            await self._append(change, f"announce-signing-key-{step.number}")
        except CommandRepeated:
            await self._keyring.forget(key.kid)

    async def _change(self, decide: Callable[[Keys, datetime], Change]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            change = decide(await self._read_keys(), await self._store.now())
            try:
                await self._append(change)
                return
            except WrongExpectedVersion:
                if attempt == ATTEMPTS:
                    raise Unavailable("the signing keys keep changing") from None

    async def _append(self, change: Change, command_id: str | None = None) -> None:
        group = AppendGroup(
            events=change.events,
            expected=change.expected,
            metadata=EventMetadata(command_id=command_id),
            command_id=command_id,
        )
        try:
            await self._log.append(group)
        except (LogUnavailable, AppendOutcomeUnknown) as error:
            raise Unavailable("the tokens log cannot be written") from error
        for stream, event in change.events:
            logger.info(
                "signing key changed", stream=stream, event_type=tag_of(type(event))
            )

    async def _destroy_what_signs_no_more(self, keys: Keys) -> None:
        now = await self._store.now()
        for kept in await self._store.read_all():
            known = keys.get(kept.kid)
            if known is None:
                over = kept.kept_at + ORPHANED_AFTER < now
            else:
                over = known.status not in SIGNING_STATUSES
            if over:
                await self._keyring.forget(kept.kid)
                logger.info("private key destroyed", kid=kept.kid)
