"""Is this a token of our issuer? Asks nothing of the network, and remembers the yes.

What is remembered is only what never changes: that the issuer signed these claims.
Expiry, revocation and the state of the key are judged at every request, after the hit.
"""

import asyncio
from collections.abc import Container, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol, TypeAlias, TypeVar

from enforcement_gateway.clocks import wall
from enforcement_gateway.counters import Counters
from enforcement_gateway.domain.authorization import OF_TOKENS, KnownToken
from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.known_tokens import KnownTokens
from enforcement_gateway.turns import turn
from enforcement_gateway.view import View
from tollgate.oauth.access_tokens import (
    Reader,
    TokenRefusal,
    UnverifiedAccessToken,
    VerifiedAccessToken,
    verify_each,
)
from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.jws import OPENINGS, split
from tollgate.oauth.public_keys import PublicKey, parse_public_key

_MALFORMED = Reason.TOKEN_MALFORMED
_BAD_SIGNATURE = TokenRefusal.BAD_SIGNATURE
_SIGNATURE_WRONG = OF_TOKENS[_BAD_SIGNATURE]  # to look it up is a call of Python
MAX_REMEMBERED = 32_768
"""Tokens remembered at most; one costs about a kilobyte and a half."""


class SigningKeys(Mapping[str, PublicKey]):
    """The issuer's keys as the tokens log knows them, parsed when first needed.

    A `kid` is the thumbprint of its key, so what was parsed once stays right.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self._parsed: dict[str, PublicKey] = {}

    def __getitem__(self, kid: str) -> PublicKey:
        known = self.view.tokens.signing_keys[kid]
        parsed = self._parsed.get(kid)
        if parsed is None:
            parsed = parse_public_key(known.pem, Algorithm(known.alg))
            self._parsed[kid] = parsed
        return parsed

    def __contains__(self, kid: object) -> bool:
        return kid in self.view.tokens.signing_keys

    def __iter__(self) -> Iterator[str]:
        return iter(self.view.tokens.signing_keys)

    def __len__(self) -> int:
        return len(self.view.tokens.signing_keys)


class Verifier:
    """Verifies access tokens of one issuer. `remembered` are those that it signed."""

    def __init__(
        self,
        issuer: str,
        remembered: int = MAX_REMEMBERED,
        audiences: AbstractSet[str] | None = None,
    ) -> None:
        """`audiences` are those of all doors here; without them it may name any."""
        self._reader = Reader(issuer, audiences)
        self.remembered = KnownTokens(remembered)

    def verify(self, token: bytes, keys: SigningKeys) -> VerifiedAccessToken | Reason:
        """What the issuer signed, which may be over soon, or why it is none."""
        known = self.remembered.get(token)
        if known is not None:
            return known.verified
        read = self.read(token, keys)
        return read if isinstance(read, Reason) else self.settle(token, read)

    def read(self, token: bytes, keys: SigningKeys) -> UnverifiedAccessToken | Reason:
        """What one that is not remembered says by itself; `settle` does the rest."""
        reader, kids = self._reader, keys.view.tokens.signing_keys
        read: UnverifiedAccessToken | TokenRefusal
        if token.startswith(reader.start):
            read = reader.read_again(token, kids, wall)
        else:
            parts = split(token)
            if parts is None:
                return _MALFORMED
            read = reader.read_parts(token, parts, keys, kids, wall)
        return OF_TOKENS[read] if isinstance(read, TokenRefusal) else read

    def look_at_each(
        self, tokens: tuple[bytes | Reason, ...], keys: SigningKeys
    ) -> list[Reason | UnverifiedAccessToken | KnownToken]:
        """What each is by itself: as `read`, or the one that is remembered.

        What was found to be none before is that. A token that begins as one that was
        refused for its beginning is not remembered, and not looked for.
        """
        reader, kids = self._reader, keys.view.tokens.signing_keys
        looks: list[Reason | UnverifiedAccessToken | KnownToken] = []
        if len(tokens) > 1:
            looks += self._look_at_alike(tokens, kids)
        refusal, reason = TokenRefusal.MALFORMED, _MALFORMED  # of the last
        for token in tokens[len(looks) :]:
            if not isinstance(token, bytes):
                looks.append(token)
            elif not token or token[0] not in OPENINGS:
                looks.append(_MALFORMED)  # as `split` has it: most of what is none
            elif token.startswith(reader.refused):
                again = reader.refuse_again(token, kids)
                if again is not refusal:
                    refusal, reason = again, OF_TOKENS[again]
                looks.append(reason)
            else:
                looks.append(self.remembered.get(token) or self.read(token, keys))
        return looks

    def _look_at_alike(
        self, tokens: tuple[bytes | Reason, ...], kids: Container[str]
    ) -> list[UnverifiedAccessToken]:
        """All of them, if they are new and differ in their signatures only, or none."""
        start = self._reader.start
        first = tokens[0]
        if not isinstance(first, bytes) or not first.startswith(start):
            return []
        alike = [
            token
            for token in tokens
            if isinstance(token, bytes) and token.startswith(start)
        ]
        if len(alike) < len(tokens) or self.remembered.may_have_one_of(alike):
            return []
        return self._reader.read_together(alike, kids, wall) or []

    def settle(
        self, token: bytes, read: UnverifiedAccessToken
    ) -> VerifiedAccessToken | Reason:
        """Look at the signature, and remember a yes."""
        (outcome,) = self.settle_each([(token, read)])
        return outcome

    def settle_each(
        self, lot: list[tuple[bytes, UnverifiedAccessToken]]
    ) -> list[VerifiedAccessToken | Reason]:
        """As `settle`; a fault of one is that of all."""
        outcomes: list[VerifiedAccessToken | Reason] = []
        verified = verify_each([read for _, read in lot])
        for (token, _), found in zip(lot, verified, strict=True):
            if found is _BAD_SIGNATURE:
                outcomes.append(_SIGNATURE_WRONG)
            elif isinstance(found, TokenRefusal):
                outcomes.append(OF_TOKENS[found])
            else:
                self.remembered.add(token, found)
                outcomes.append(found)
        return outcomes


MAX_AT_ONCE = 16
"""Signatures before others get their turn on the loop: a few milliseconds."""

MAX_ALONE = 64
"""As many where nothing has passed for `LOTS_ALONE`: who waits is mostly refused."""

LOTS_ALONE = 64
"""Lots, which take some hundred milliseconds: clients that are let in rest, too."""

AboutT_contra = TypeVar("AboutT_contra", contravariant=True)


class Settling(Protocol[AboutT_contra]):
    """Who asked for tokens to be verified; must not raise."""

    def settled(
        self, about: AboutT_contra, outcome: VerifiedAccessToken | Reason | Exception
    ) -> None:
        """What the one that was asked `about` is; or there was a fault of ours."""
        ...


Unsettled: TypeAlias = tuple[Settling[Any], Any, bytes, UnverifiedAccessToken]
"""Who asks, about what; a token whose signature is to be looked at, and as it reads."""


class Burst:
    """The signatures of requests that came together, one right after another.

    A verification fills the caches of a processor with its own code and tables, and
    leaves them cold for all else; between two requests it takes half as long again.
    So lots are large where nothing but a flood has come for a while, and small as soon
    as a request has passed, of which more may be waiting.
    """

    def __init__(self, verifier: Verifier, counters: Counters) -> None:
        self._verifier = verifier
        self._counters = counters
        self._asked: list[Unsettled] = []
        self._passed = 0  # until the last lot
        self._lots_alone = 0  # since then

    def add(self, unsettled: list[Unsettled]) -> None:
        """Have each told soon, never at once."""
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._serve)
        self._asked += unsettled

    def _serve(self) -> None:
        passed = self._counters.let_in
        self._lots_alone = self._lots_alone + 1 if passed == self._passed else 0
        self._passed = passed
        most = MAX_AT_ONCE if self._lots_alone < LOTS_ALONE else MAX_ALONE
        served, self._asked = self._asked[:most], self._asked[most:]
        if self._asked:
            asyncio.get_running_loop().call_soon(self._serve)
        outcomes = self._settle([(token, read) for _, _, token, read in served])
        turn.begin()  # in which those who are refused are refused together
        try:
            for (asking, about, _, _), outcome in zip(served, outcomes, strict=True):
                asking.settled(about, outcome)
        finally:
            turn.end()

    def _settle(
        self, lot: list[tuple[bytes, UnverifiedAccessToken]]
    ) -> Sequence[VerifiedAccessToken | Reason | Exception]:
        """What each is; after a fault each by itself, for it is only that of one."""
        try:
            return self._verifier.settle_each(lot)
        except Exception as fault:  # noqa: BLE001 - whoever asked for it is told
            if len(lot) == 1:
                return [fault]
        return [outcome for each in lot for outcome in self._settle([each])]
