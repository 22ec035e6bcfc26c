"""What the gate needs to know, and how it asks whether that is recent enough."""

from datetime import timedelta

from tollgate.messaging.subscription import REFRESH_DEADLINE, Subscription
from tollgate.projections.moments import Moment
from tollgate.projections.view import View as Logs
from tollgate.registry.state import RegistryState
from tollgate.tokens.state import TokensState


class View:
    """Two logs, folded: `registry` and `tokens`, as `look` found them last.

    They are other objects after a rebuild, so every decision begins with a look, and
    asks whether that was recent enough after it has read them.
    """

    __slots__ = ("registry", "tokens")

    registry: RegistryState
    tokens: TokensState

    def look(self) -> None:
        """Let `registry` and `tokens` be what decisions are taken from now."""
        raise NotImplementedError

    def fresh_at(self, boottime: float, wall: float) -> bool:
        """Whether decisions may be taken from them at that `Moment`."""
        raise NotImplementedError

    async def refresh(self) -> None:
        """Apply all that the logs held when this was called, or raise `NotLevel`."""
        raise NotImplementedError

    async def refresh_tokens(self) -> None:
        """As `refresh`, of the tokens log alone."""
        raise NotImplementedError


class SubscribedView(View):
    """The view as subscriptions to the owners' logs keep it; `logs` are the two."""

    __slots__ = (
        "_boottime",
        "_confirmation_timeout",
        "_of_registry",
        "_of_tokens",
        "_registry_log",
        "_tokens_log",
        "_wall",
        "logs",
    )

    def __init__(
        self,
        registry: Subscription[RegistryState],
        tokens: Subscription[TokensState],
        confirmation_timeout: timedelta = REFRESH_DEADLINE,
    ) -> None:
        self._confirmation_timeout = confirmation_timeout
        self.logs = Logs(registry, tokens)
        self._registry_log = registry
        self._tokens_log = tokens
        self._note(registry.fresh_until, tokens.fresh_until)
        self.look()

    def look(self) -> None:
        self.registry = self._registry_log.state
        self.tokens = self._tokens_log.state

    def fresh_at(self, boottime: float, wall: float) -> bool:
        of_registry = self._registry_log.fresh_until
        of_tokens = self._tokens_log.fresh_until
        if of_registry is not self._of_registry or of_tokens is not self._of_tokens:
            self._note(of_registry, of_tokens)
        return boottime <= self._boottime and wall <= self._wall

    async def refresh(self) -> None:
        await self.logs.refresh(self._confirmation_timeout)

    async def refresh_tokens(self) -> None:
        await self._tokens_log.refresh(self._confirmation_timeout)

    def _note(self, of_registry: Moment, of_tokens: Moment) -> None:
        """Both must be fresh, so the earlier end counts, by each clock."""
        self._of_registry = of_registry
        self._of_tokens = of_tokens
        self._boottime = min(of_registry.boottime, of_tokens.boottime)
        self._wall = min(of_registry.wall, of_tokens.wall)
