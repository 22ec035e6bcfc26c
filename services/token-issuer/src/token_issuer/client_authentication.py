"""private_key_jwt: which app asks, proved with one of its keys (RFC 7523 §2.2).

The key is looked up in the projection of the registry log. An app or key that is not
there is refused only after a look at the log as it is now: unknown is not no.
"""

from collections.abc import Mapping

import msgspec

from token_issuer.knowledge import Knowledge
from tollgate.oauth.client_assertion import (
    UnverifiedAssertion,
    VerifiedAssertion,
    client_authentication_failed,
    judge_signed_assertion,
    read_assertion,
    require_signature,
)
from tollgate.oauth.public_keys import recorded_public_key
from tollgate.registry.oauth_app import AppKey, OAuthApp


class AuthenticatedClient(msgspec.Struct, frozen=True, kw_only=True):
    """An app, the key it used, and the assertion that is still to be spent."""

    app: OAuthApp
    key: AppKey
    assertion: VerifiedAssertion


class ClaimedClient(msgspec.Struct, frozen=True, kw_only=True):
    """The app that an assertion is said to be from, and the key that it names."""

    app: OAuthApp
    key: AppKey
    assertion: UnverifiedAssertion


class ClientAuthentication:
    def __init__(self, knowledge: Knowledge, *, issuer: str) -> None:
        self._knowledge = knowledge
        self._issuer = issuer

    async def authenticate(
        self, form: Mapping[str, str], arrived_at: float
    ) -> AuthenticatedClient:
        """Who sent `form`, or an `OAuthError`. Spends nothing."""
        return self.verify(await self.find(form), arrived_at)

    async def find(self, form: Mapping[str, str]) -> ClaimedClient:
        """Whose signature is to be verified, or an `OAuthError`."""
        assertion = read_assertion(form)
        await self._knowledge.become_fresh()
        found = self.look_up(assertion)
        if found is None:
            await self._knowledge.refresh()
            found = self.look_up(assertion)
        if found is None:
            raise client_authentication_failed()
        return found

    def knows_enough(self) -> bool:
        """Whether `look_up` may be asked at the moment."""
        return self._knowledge.view.fresh()

    def look_up(self, assertion: UnverifiedAssertion) -> ClaimedClient | None:
        """As `find`, from what is known now; nothing if the logs are to be asked."""
        app = self._knowledge.registry.apps.get(assertion.client_id)
        if app is None or not app.exists:
            return None
        key = app.keys.get(assertion.kid)
        if key is None:
            return None
        return ClaimedClient(app=app, key=key, assertion=assertion)

    def verify(self, claimed: ClaimedClient, arrived_at: float) -> AuthenticatedClient:
        """Believe the assertion, or raise an `OAuthError`. Does not wait."""
        self.require_signature(claimed)
        return self.judge_signed(claimed, arrived_at)

    def require_signature(self, claimed: ClaimedClient) -> None:
        """The first half of `verify`: `InvalidClient`, or the key has signed."""
        key = claimed.key
        require_signature(claimed.assertion, recorded_public_key(key.pem, key.alg))

    def judge_signed(
        self, claimed: ClaimedClient, arrived_at: float
    ) -> AuthenticatedClient:
        """The second half, after it."""
        verified = judge_signed_assertion(
            claimed.assertion, issuer=self._issuer, arrived_at=arrived_at
        )
        return AuthenticatedClient(app=claimed.app, key=claimed.key, assertion=verified)
