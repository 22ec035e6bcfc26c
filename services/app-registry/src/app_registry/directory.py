"""All workspaces, ready to be listed: what the admin API reads from.

Folded from the registry log like every other view of it. A replica of the service is
asked only after it has applied the log as it was when the request arrived.
"""

from collections import defaultdict
from collections.abc import Mapping

from app_registry.entities import Entity
from app_registry.listings import Listing
from tollgate.events import RecordedEvent
from tollgate.registry.access_token import AccessToken
from tollgate.registry.member import Member
from tollgate.registry.oauth_app import OAuthApp
from tollgate.registry.source_types import SourceKind, kind_of
from tollgate.registry.state import RegistryState


class WorkspaceListings:
    """What there is in one workspace, in the order in which it was made.

    Sources that are functions are listed apart: there are roles for either kind.
    """

    def __init__(self) -> None:
        self.members = Listing()
        self.access_tokens = Listing()
        self.apps = Listing()
        self.sources = Listing()
        self.source_functions = Listing()


class Directory:
    """`state` is the registry, `listings` its order by workspace."""

    def __init__(self) -> None:
        self.state = RegistryState()
        self.listings: defaultdict[str, WorkspaceListings] = defaultdict(
            WorkspaceListings
        )
        self._entities: Mapping[str, Mapping[str, Entity]] = {
            "oauth_app": self.state.apps,
            "source": self.state.sources,
            "member": self.state.members,
            "access_token": self.state.access_tokens,
        }

    def apply(self, recorded: RecordedEvent) -> None:
        """Fold in the next event of the log, or raise `UnreadableEvent`."""
        self.state.apply(recorded)
        entity = self.entity(recorded.stream)
        if entity is None:
            return
        if not entity.exists:
            self._listing_of(entity).remove(entity.id)
        elif recorded.version == 1:
            self._listing_of(entity).add(recorded.position, entity.id)

    def entity(self, stream: str) -> Entity | None:
        """What the stream is about, as it is now, deleted or not."""
        category, _, key = stream.partition("-")
        known = self._entities.get(category)
        return None if known is None else known.get(key)

    def workspace_of(self, stream: str) -> str | None:
        """Whose business the events of `stream` are, if it is known here."""
        category, _, key = stream.partition("-")
        if category == "workspace":
            return key if key in self.state.workspaces else None
        entity = self.entity(stream)
        return None if entity is None else entity.workspace_id

    def _listing_of(self, entity: Entity) -> Listing:
        listings = self.listings[entity.workspace_id]
        match entity:
            case OAuthApp():
                return listings.apps
            case Member():
                return listings.members
            case AccessToken():
                return listings.access_tokens
            case _ if kind_of(entity.source_type) is SourceKind.FUNCTION:
                return listings.source_functions
            case _:
                return listings.sources
