"""Tokens that the issuer signed, found by how they end.

In a dict by their whole text all of it would be hashed at every request, which takes
longer than all else that is asked about a token. The end of a signature tells them
apart as well. It proves nothing: what is found by it is compared in full.
"""

from operator import itemgetter

from enforcement_gateway import pieces
from enforcement_gateway.domain.authorization import KnownToken
from tollgate.oauth.access_tokens import VerifiedAccessToken

_SIZE_OF_END = 15
"""Octets of a token by which it is found: ninety bits of its signature."""

_end_of = itemgetter(slice(-_SIZE_OF_END, None))


class KnownTokens:
    """Up to `most` tokens that were verified, each by its text.

    Of two that end alike, which no signatures do by chance, the one is known that was
    added last.
    """

    __slots__ = ("_by_end", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_end: dict[bytes, KnownToken] = {}

    def __len__(self) -> int:
        return len(self._by_end)

    def get(self, token: bytes) -> KnownToken | None:
        known = self._by_end.get(token[-_SIZE_OF_END:])
        return known if known is not None and known.text == token else None

    def may_have_one_of(self, tokens: list[bytes]) -> bool:
        """Whether one of them ends as a token that is known."""
        return not self._by_end.keys().isdisjoint(map(_end_of, tokens))

    def between(self, data: bytes, start: int, end: int) -> KnownToken | None:
        """The token that `data` has there, if it is one of them; no copy is made."""
        if not start <= end <= len(data):
            return None
        octets = data  # a pointer, where this is compiled
        at = end - _SIZE_OF_END
        known = self._by_end.get(octets[at:end] if at > start else octets[start:end])
        if known is None or len(known.text) != end - start:
            return None
        return known if pieces.begins(data, known.text, start) else None

    def add(self, token: bytes, verified: VerifiedAccessToken) -> None:
        """Forget the older half when full: no bookkeeping at each hit."""
        known = self._by_end
        if not self._most:
            return
        if len(known) >= self._most:
            for oldest in list(known)[: (self._most + 1) // 2]:
                del known[oldest]
        known[token[-_SIZE_OF_END:]] = KnownToken(token, verified)
