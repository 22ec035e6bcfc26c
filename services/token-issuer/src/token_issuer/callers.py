"""Where a request came from: what the log keeps of it beside the fact."""

import msgspec

from tollgate.events import EventMetadata


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """`address` is the client's, also behind proxies that we trust."""

    address: str
    request_id: str

    def metadata(
        self,
        actor: str,
        *,
        command_id: str | None = None,
        command_digest: str | None = None,
    ) -> EventMetadata:
        """`actor` is the stream of whoever is behind the request."""
        return EventMetadata(
            actor=actor,
            request_id=self.request_id,
            client_address=self.address,
            command_id=command_id,
            command_digest=command_digest,
        )
