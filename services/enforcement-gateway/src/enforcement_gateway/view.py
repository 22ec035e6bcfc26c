"""What the gate needs to know, and how it asks whether that is recent enough."""

from typing import Protocol

from tollgate.messaging.subscription import Subscription
from tollgate.projections.moments import Moment
from tollgate.projections.view import View as ProjectedView
from tollgate.registry.state import RegistryState
from tollgate.tokens.state import TokensState


class View(Protocol):
    """Two logs, folded. The states are other objects after a rebuild: ask each time."""

    @property
    def registry(self) -> RegistryState: ...

    @property
    def tokens(self) -> TokensState: ...

    def fresh(self, now: Moment) -> bool:
        """Whether decisions may be taken from what was read before `now` was."""
        ...

    async def refresh(self) -> None:
        """Apply all that the logs held when this was called, or raise `NotLevel`."""
        ...


class SubscribedView(ProjectedView):
    """The view as subscriptions to the owners' logs keep it."""

    def __init__(
        self,
        registry: Subscription[RegistryState],
        tokens: Subscription[TokensState],
    ) -> None:
        super().__init__(registry, tokens)
        self._registry = registry
        self._tokens = tokens

    @property
    def registry(self) -> RegistryState:
        return self._registry.state

    @property
    def tokens(self) -> TokensState:
        return self._tokens.state
