"""Is this a token of our issuer? Asks nothing of the network, and remembers the yes.

What is remembered is only what never changes: that the issuer signed these claims.
Expiry, revocation and the state of the key are judged at every request, after the hit.
"""

import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from enforcement_gateway.domain.authorization import OF_TOKENS, KnownToken
from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.view import View
from tollgate.oauth.access_tokens import VerifiedAccessToken, verify_access_token
from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.public_keys import PublicKey, parse_public_key

MAX_REMEMBERED = 32_768
"""Tokens remembered at most; one costs about a kilobyte and a half."""


class SigningKeys(Mapping[str, PublicKey]):
    """The issuer's keys as the tokens log knows them, parsed when first needed.

    A `kid` is the thumbprint of its key, so what was parsed once stays right.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._parsed: dict[str, PublicKey] = {}

    def __getitem__(self, kid: str) -> PublicKey:
        known = self._view.tokens.signing_keys[kid]
        parsed = self._parsed.get(kid)
        if parsed is None:
            parsed = parse_public_key(known.pem, Algorithm(known.alg))
            self._parsed[kid] = parsed
        return parsed

    def __contains__(self, kid: object) -> bool:
        return kid in self._view.tokens.signing_keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._view.tokens.signing_keys)

    def __len__(self) -> int:
        return len(self._view.tokens.signing_keys)


class Verifier:
    """Verifies access tokens of one issuer. `remembered` are those that it signed."""

    def __init__(
        self,
        issuer: str,
        remembered: int = MAX_REMEMBERED,
        audiences: AbstractSet[str] | None = None,
    ) -> None:
        """`audiences` are those of all doors here; without them it may name any."""
        self._issuer = issuer
        self._audiences = audiences
        self._max_remembered = remembered
        self.remembered: dict[bytes, KnownToken] = {}

    def verify(self, token: bytes, keys: SigningKeys) -> VerifiedAccessToken | Reason:
        """What the issuer signed, which may be over soon, or why it is none."""
        known = self.remembered.get(token)
        if known is not None:
            return known.verified
        verified = verify_access_token(
            token,
            keys=keys,
            issuer=self._issuer,
            audiences=self._audiences,
            over_at=time.time(),
        )
        if not isinstance(verified, VerifiedAccessToken):
            return OF_TOKENS[verified]
        self._remember(token, verified)
        return verified

    def _remember(self, token: bytes, verified: VerifiedAccessToken) -> None:
        """Forget the older half when full: no bookkeeping at each hit."""
        if not self._max_remembered:
            return
        if len(self.remembered) >= self._max_remembered:
            for oldest in list(self.remembered)[: (self._max_remembered + 1) // 2]:
                del self.remembered[oldest]
        self.remembered[token] = KnownToken(verified)
