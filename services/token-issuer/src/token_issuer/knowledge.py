"""What the issuer knows: the registry log and its own tokens log, folded in memory."""

import asyncio
from contextlib import suppress

from tollgate.errors import Unavailable
from tollgate.messaging.subscription import NotLevel, Subscription
from tollgate.projections.view import View
from tollgate.registry.state import RegistryState
from tollgate.tokens.state import TokensState

LOOK_AGAIN_AFTER = 0.1
"""Seconds between two tries to bring a view up to date."""


class Knowledge:
    """The states are other objects after a rebuild: fetch them for every decision."""

    def __init__(
        self,
        registry: Subscription[RegistryState],
        tokens: Subscription[TokensState],
    ) -> None:
        self._registry = registry
        self._tokens = tokens
        self.view = View(registry, tokens)

    @property
    def registry(self) -> RegistryState:
        return self._registry.state

    @property
    def tokens(self) -> TokensState:
        return self._tokens.state

    def own_age(self) -> float:
        """Seconds since this service's own log was read last."""
        return self._tokens.age()

    async def become_fresh(self) -> None:
        """Wait until decisions may be taken; the caller bounds the wait."""
        while not self.view.fresh():
            with suppress(NotLevel):
                await self.view.refresh()
                continue
            await asyncio.sleep(LOOK_AGAIN_AFTER)

    def require_fresh(self) -> None:
        """Ask after deciding: a process that was frozen meanwhile must not answer."""
        if not self.view.fresh():
            raise Unavailable("too little is known of the present moment")

    async def refresh(self) -> None:
        """Know all that the registry knows now, or `Unavailable`."""
        try:
            await self._registry.refresh()
        except NotLevel:
            raise Unavailable("the registry cannot be asked at the moment") from None
