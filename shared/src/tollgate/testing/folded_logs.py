"""Both logs as the gateway knows them, folded from facts as a test states them."""

from datetime import UTC, datetime

import msgspec

from tollgate.events import Event, RecordedEvent, encode
from tollgate.events.recorded import tag_of
from tollgate.events.registry import (
    Enforcement,
    EnforcementChanged,
    KeyAdded,
    OAuthAppConnected,
    OAuthAppCreated,
    SourceCreated,
    WriteKeyAdded,
)
from tollgate.events.tokens import SigningKeyActivated, SigningKeyAnnounced
from tollgate.oauth.scopes import Scope
from tollgate.registry.state import RegistryState
from tollgate.tokens.state import TokensState

RECORDED_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
_OF_THE_TOKENS_LOG = SigningKeyAnnounced.__module__


class FoldedLogs:
    """Empty at first. Facts are folded as they are recorded, in any order one likes."""

    def __init__(self) -> None:
        self.registry = RegistryState()
        self.tokens = TokensState()
        self._versions: dict[tuple[bool, str], int] = {}

    def record(self, stream: str, *facts: Event) -> None:
        """Put `facts` on `stream`, of the log that they belong to."""
        for fact in facts:
            in_tokens = type(fact).__module__ == _OF_THE_TOKENS_LOG
            version = self._versions.get((in_tokens, stream), 0) + 1
            self._versions[in_tokens, stream] = version
            (self.tokens if in_tokens else self.registry).apply(
                RecordedEvent(
                    position=sum(self._versions.values()),
                    stream=stream,
                    version=version,
                    type=tag_of(type(fact)),
                    recorded_at=RECORDED_AT,
                    hash="",
                    data=msgspec.Raw(encode(fact)),
                    metadata=msgspec.Raw(b"{}"),
                )
            )

    def source(
        self,
        name: str,
        mode: Enforcement = Enforcement.OFF,
        app: str | None = None,
    ) -> None:
        """Record a source `src_<name>` with the write key `<name>-key`."""
        self.record(
            f"source-src_{name}",
            SourceCreated(workspace_id="ws_1", name=name, source_type="python"),
            WriteKeyAdded(write_key=f"{name}-key"),
        )
        if app is not None:
            self.record(f"source-src_{name}", OAuthAppConnected(app_id=app))
        if mode is not Enforcement.OFF:
            self.record(f"source-src_{name}", EnforcementChanged(mode=mode))

    def app(self, client_id: str = "app_1", kid: str = "kid-1") -> None:
        """Record an app with all scopes and one key, whose claim is `<kid>/2`."""
        self.record(
            f"oauth_app-{client_id}",
            OAuthAppCreated(
                workspace_id="ws_1",
                name=client_id,
                token_lifetime=86400,
                scopes=tuple(Scope),
            ),
            key_added(kid),
        )

    def signing_key(self, kid: str, *, alg: str = "ES256", pem: str = "PEM") -> None:
        """Record a key of the issuer that signs."""
        announced = SigningKeyAnnounced(alg=alg, pem=pem)
        self.record(f"signing_key-{kid}", announced, SigningKeyActivated())


def key_added(kid: str) -> KeyAdded:
    """An app has a new key, which nothing was signed with."""
    return KeyAdded(kid=kid, name=kid, alg="RS256", pem="PEM")
