"""The private halves of the signing keys in memory: this module alone signs with them.

Which key signs is told by the tokens log. A key of the log whose private half is
missing, or does not open, is never replaced in silence: nothing is signed, the service
is not ready, and the log of the service says what to do.
"""

import asyncio
from collections.abc import Iterable

import structlog

from token_issuer.key_life import Keys, active_key
from token_issuer.key_store import KeptKey, KeyStore
from token_issuer.sealing import CannotOpen, Sealer
from tollgate.errors import Unavailable
from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.signing_keys import (
    InvalidPrivateKey,
    SigningKey,
    load_signing_key,
)
from tollgate.tokens.state import SigningKeyStatus

logger = structlog.get_logger(__name__)

SIGNING_STATUSES = frozenset({SigningKeyStatus.ANNOUNCED, SigningKeyStatus.ACTIVE})
"""Keys that sign or will."""


class CannotSign(Unavailable):
    """There is no key to sign with at the moment; its text is for the operator too."""


class Keyring:
    """Holds what `load` found; `signing_key` answers from memory alone."""

    def __init__(self, store: KeyStore, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer
        self._held: dict[str, SigningKey] = {}
        self._loading = asyncio.Lock()

    def signing_key(self, keys: Keys) -> SigningKey:
        """The key that signs now, or `CannotSign`."""
        active = active_key(keys)
        if active is None:
            raise CannotSign("no signing key is active")
        held = self._held.get(active.kid)
        if held is None:
            raise CannotSign("the private half of the signing key is not at hand")
        return held

    def can_sign(self, keys: Keys) -> bool:
        active = active_key(keys)
        return active is not None and active.kid in self._held

    async def keep(self, key: SigningKey) -> None:
        """Store the private half of a new key, before anybody hears of it."""
        await self._store.keep(key.kid, self._sealer.seal(key.kid, key.to_der()))

    async def load(self, keys: Keys) -> None:
        """Hold what signs or may sign soon, and drop all else, here and in the table.

        Raises `Unavailable` if the table cannot be read.
        """
        async with self._loading:
            used = {
                kid: key for kid, key in keys.items() if key.status in SIGNING_STATUSES
            }
            self._held = {kid: key for kid, key in self._held.items() if kid in used}
            if used.keys() <= self._held.keys():
                return
            kept = {each.kid: each for each in await self._store.read_all()}
            for kid, key in used.items():
                if kid in self._held:
                    continue
                opened = self._open(kid, Algorithm(key.alg), kept.get(kid))
                if opened is not None:
                    self._held[kid] = opened
            await self._renew_seals(kept.values())

    async def forget(self, kid: str) -> None:
        """Destroy the private half of a key that signs no more."""
        self._held.pop(kid, None)
        await self._store.forget(kid)

    def _open(
        self, kid: str, alg: Algorithm, kept: KeptKey | None
    ) -> SigningKey | None:
        if kept is None:
            logger.error("signing key lost", kid=kid, reason="it is not in the table")
            return None
        try:
            key = load_signing_key(self._sealer.open(kid, kept.sealed), alg)
        except (CannotOpen, InvalidPrivateKey) as error:
            logger.error(  # noqa: TRY400 - the reason is all there is to say
                "signing key unusable",
                kid=kid,
                sealed_by=kept.sealed.sealed_by,
                reason=str(error),
            )
            return None
        if key.kid != kid:
            logger.error("signing key unusable", kid=kid, reason="it is another key")
            return None
        return key

    async def _renew_seals(self, kept: Iterable[KeptKey]) -> None:
        """Seal with the first key-encryption key, so that the others can go."""
        for each in kept:
            held = self._held.get(each.kid)
            if held is None or self._sealer.is_current(each.sealed):
                continue
            await self._store.seal_again(
                each, self._sealer.seal(each.kid, held.to_der())
            )
            logger.info("signing key sealed again", kid=each.kid)
