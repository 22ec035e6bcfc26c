"""Access tokens: RFC 9068 JWTs, minted by the issuer and verified everywhere.

Verifying asks nothing of the clock, so that a verified token can be remembered and
its time judged at each request, as its revocation is.
"""

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import StrEnum
from itertools import groupby
from operator import attrgetter
from sys import intern

import msgspec
from msgspec import UNSET

from tollgate.oauth.base64url import (
    TRANSLATION,
    NotBase64Url,
    decode_each,
    decode_translated,
)
from tollgate.oauth.claims import (
    AccessTokenClaims,
    InvalidClaims,
    decode_access_token_claims,
    decode_access_token_words,
)
from tollgate.oauth.jws import (
    MAX_LENGTH,
    JwsHeader,
    MalformedJws,
    octets_of,
    read_header,
    sign,
    signing_input,
    split,
)
from tollgate.oauth.public_keys import PublicKey
from tollgate.oauth.scopes import format_scope
from tollgate.oauth.signing_keys import SigningKey

LEEWAY = 30.0
"""How far in seconds the clocks of issuer and verifier may differ."""

_TYPE = "at+jwt"
_TYPES = frozenset({_TYPE, "application/at+jwt"})


class TokenRefusal(StrEnum):
    """Why a token is not one of ours, or not now."""

    MALFORMED = "malformed"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    SENDER_CONSTRAINED = "sender_constrained"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"


_DOT = ord(".")
_MALFORMED = TokenRefusal.MALFORMED  # a name of its own: Python 3.11 looks for a
_WRONG_TYPE = TokenRefusal.WRONG_TYPE  # member of an enumeration by a call
_UNKNOWN_KEY = TokenRefusal.UNKNOWN_KEY
_BAD_SIGNATURE = TokenRefusal.BAD_SIGNATURE
_WRONG_ISSUER = TokenRefusal.WRONG_ISSUER
_WRONG_AUDIENCE = TokenRefusal.WRONG_AUDIENCE
_EXPIRED = TokenRefusal.EXPIRED


class VerifiedAccessToken(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the issuer said, with its signature checked. It may have expired since.

    `signing_kid` is the issuer's key; `key` and `rev` are as in the claims, and times
    are seconds since the epoch.
    """

    signing_kid: str
    client_id: str
    jti: str
    audiences: frozenset[str]
    scopes: frozenset[str]
    key: str
    rev: int
    iat: float
    exp: float
    nbf: float = 0.0

    def refusal_at(self, now: float, leeway: float = LEEWAY) -> TokenRefusal | None:
        """Why the token is not good at `now` (RFC 7519 §4.1.4, §4.1.5), or nothing."""
        if now >= self.exp + leeway:
            return TokenRefusal.EXPIRED
        if now < self.nbf - leeway:
            return TokenRefusal.NOT_YET_VALID
        return None


class UnverifiedAccessToken(msgspec.Struct, frozen=True, gc=False):
    """A token whose words rule nothing out. Whether it is anybody's is not known."""

    kid: str
    key: PublicKey
    payload: bytes
    signing_input: bytes
    signature: bytes

    def verify(self) -> VerifiedAccessToken | TokenRefusal:
        """What takes long, and needs nothing but what is here."""
        (found,) = verify_each((self,))
        return found

    def say(self) -> VerifiedAccessToken | TokenRefusal:
        """What one that is signed says, or why it may not say that."""
        try:
            claims = decode_access_token_claims(self.payload)
        except InvalidClaims:
            return TokenRefusal.MALFORMED
        if claims.cnf is not UNSET:
            return TokenRefusal.SENDER_CONSTRAINED  # RFC 8705 §3, RFC 9449 §7
        if claims.sub != claims.client_id:
            return TokenRefusal.MALFORMED  # a client speaks for itself only
        return VerifiedAccessToken(
            signing_kid=self.kid,
            # The very texts that a view of the logs holds: comparing reads neither.
            client_id=intern(claims.client_id),
            jti=claims.jti,
            audiences=frozenset(_named_by(claims.aud)),
            scopes=frozenset(claims.scope.split(" ")),
            key=intern(claims.key),
            rev=claims.rev,
            iat=claims.iat,
            exp=claims.exp,
            nbf=0.0 if claims.nbf is UNSET else claims.nbf,
        )


def verify_each(
    tokens: Sequence[UnverifiedAccessToken],
) -> list[VerifiedAccessToken | TokenRefusal]:
    """As of each: their signatures are looked at one right after another."""
    signed: list[bool] = []
    for key, run in groupby(tokens, _ITS_KEY):
        signed += key.have_signed([(one.signature, one.signing_input) for one in run])
    return [
        token.say() if is_signed else _BAD_SIGNATURE
        for token, is_signed in zip(tokens, signed, strict=True)
    ]


_ITS_KEY = attrgetter("key")


class Reader:
    """Reads tokens of one `issuer`, from the front, as far as the first no (ADR 27).

    `audiences` are the doors of which a token must name one; None is for the issuer,
    who looks at tokens of every door. What claims begin with is remembered: in a flood
    most say the same up to their audience, and then they need not be decoded.
    `remembered` is of such beginnings, in base64url. `start` is all that stands before
    the signature of the last token that had nothing wrong in it: who is refused for the
    signature mostly tries again. `refused` is what the last token began with that was
    refused for its beginning: its header, and so much of its claims.
    """

    def __init__(self, issuer: str, audiences: AbstractSet[str] | None) -> None:
        self._issuer = issuer
        self._audiences = audiences
        self.remembered: dict[bytes, TokenRefusal | None] = {}
        self._sizes: tuple[int, ...] = ()  # of them, in characters
        self._head: bytes | None = None  # of the last token, as it is written
        self._header = JwsHeader(alg="")  # what it says
        self._payload = b""  # of the last claims that nothing was wrong with
        self._exp = 0.0
        self.start = NO_START
        self._last: UnverifiedAccessToken
        self._end = 0.0  # its `exp`
        self.refused = NO_START
        self._refused_kid = ""
        self._refusal = _MALFORMED

    def read(
        self,
        token: bytes,
        keys: Mapping[str, PublicKey],
        now: Callable[[], float] | None = None,
    ) -> UnverifiedAccessToken | TokenRefusal:
        """Rule out one doubt per line (RFC 9068 §4); time is `refusal_at`'s.

        `keys` are the issuer's own by `kid`. A token that by its own word is over is
        refused for that if `now` tells the time; it is asked only if it matters.

        What is refused for its own words is refused before its signature is looked at:
        a no needs no proof, and a flood of such tokens costs little.
        """
        if token.startswith(self.start):
            return self.read_again(token, keys, now)
        if token.startswith(self.refused):
            return self.refuse_again(token, keys)
        parts = split(token)
        if parts is None:
            return _MALFORMED
        return self.read_parts(token, parts, keys, keys, now)

    def read_parts(
        self,
        token: bytes,
        parts: tuple[bytes, bytes, bytes],
        keys: Mapping[str, PublicKey],
        kids: Container[str],
        now: Callable[[], float] | None = None,
    ) -> UnverifiedAccessToken | TokenRefusal:
        """As `read`, of a token that was `split` into `parts`.

        `kids` are the names of the `keys`, in what soonest tells whether one is there.
        """
        head, body, signature = parts
        if head != self._head:
            refusal = self._read_head(head)
            if refusal is not None:
                return refusal
        kid = self._header.kid or ""
        if kid not in kids:
            return _UNKNOWN_KEY
        refusal = self._rule_out(head, body) or self._read_words(body)
        if refusal is not None:
            return refusal
        if now is not None and now() >= self._exp + LEEWAY:
            return _EXPIRED
        try:
            octets = octets_of(signature)
        except MalformedJws:
            return _MALFORMED
        key = keys[kid]
        # RFC 8725 §3.1: the key decides on the algorithm, never the token.
        if self._header.alg not in key.algs:
            return _BAD_SIGNATURE
        start = token[: -len(signature)]
        read = UnverifiedAccessToken(kid, key, self._payload, start[:-1], octets)
        self.start, self._last, self._end = start, read, self._exp
        return read

    def read_again(
        self,
        token: bytes,
        kids: Container[str],
        now: Callable[[], float] | None = None,
    ) -> UnverifiedAccessToken | TokenRefusal:
        """As `read`, of a token that has the same `start` as the last good one.

        All but the signature was read then. A `kid` is the thumbprint of its key, so
        the key is the same for as long as it is known.
        """
        signature, last = token[len(self.start) :], self._last
        if not signature or _DOT in signature or len(token) > MAX_LENGTH:
            return _MALFORMED  # as `split` has it
        if last.kid not in kids:
            return _UNKNOWN_KEY
        if now is not None and now() >= self._end + LEEWAY:
            return _EXPIRED
        try:
            octets = decode_translated(signature.translate(TRANSLATION))
        except NotBase64Url:
            return _MALFORMED
        return UnverifiedAccessToken(
            last.kid, last.key, last.payload, last.signing_input, octets
        )

    def read_together(
        self,
        tokens: Sequence[bytes],
        kids: Container[str],
        now: Callable[[], float] | None = None,
    ) -> list[UnverifiedAccessToken] | None:
        """As `read_again` of each, in one go: all have the `start` of the last good.

        None if one is not as long as the others, or is refused: each is read then.
        """
        last, size = self._last, len(self.start)
        if (
            not size < len(tokens[0]) <= MAX_LENGTH
            or last.kid not in kids
            or (now is not None and now() >= self._end + LEEWAY)
        ):
            return None
        signatures = decode_each([token[size:] for token in tokens])
        if signatures is None:
            return None
        kid, key, payload, signed = last.kid, last.key, last.payload, last.signing_input
        return [
            UnverifiedAccessToken(kid, key, payload, signed, signature)
            for signature in signatures
        ]

    def refuse_again(self, token: bytes, kids: Container[str]) -> TokenRefusal:
        """As `read`, of a token that begins with what was `refused`."""
        _, _, signature = token[len(self.refused) :].partition(b".")
        if not signature or _DOT in signature or len(token) > MAX_LENGTH:
            return _MALFORMED  # as `split` has it
        return self._refusal if self._refused_kid in kids else _UNKNOWN_KEY

    def _read_head(self, head: bytes) -> TokenRefusal | None:
        """Why no access token has such a head; else it is kept: the next has it too."""
        try:
            header = read_header(head)
        except MalformedJws:
            return _MALFORMED
        typ = header.typ
        if typ != _TYPE and (typ or "").lower() not in _TYPES:
            return _WRONG_TYPE
        self._head, self._header = head, header
        return None

    def _read_words(self, body: bytes) -> TokenRefusal | None:
        """Why it is no token for here by its claims; else they are kept."""
        try:
            payload = octets_of(body)
            words = decode_access_token_words(payload)
        except (MalformedJws, InvalidClaims):
            return _MALFORMED
        if words.iss != self._issuer:
            return _WRONG_ISSUER
        if self._is_for_others(words.aud):
            return _WRONG_AUDIENCE
        self._payload, self._exp = payload, words.exp
        return None

    def _rule_out(self, head: bytes, body: bytes) -> TokenRefusal | None:
        """Why it is no token for here, if the beginning of the claims says so.

        `body` is their text in base64url. What stands behind is not looked at. A known
        no is kept with `head`, the one that was read last: the next may have it, too.
        """
        known = self.remembered
        for size in self._sizes:
            beginning = body[:size]
            if beginning in known:
                refusal = known[beginning]
                if refusal is not None:
                    self.refused = b"%b.%b" % (head, beginning)
                    self._refused_kid, self._refusal = self._header.kid or "", refusal
                return refusal
        return self._read_beginning(body)

    def _read_beginning(self, body: bytes) -> TokenRefusal | None:
        odd = _NOT_BASE64URL(body, 0, MAX_BEGINNING)
        text = body[: MAX_BEGINNING if odd is None else odd.start()]
        text = text[: len(text) // 4 * 4]
        said = _AS_OURS_BEGIN(decode_translated(text.translate(TRANSLATION)))
        if said is None:
            return None
        if said["iss"].decode() != self._issuer:
            return self._remember(text, said.end("iss") + 1, _WRONG_ISSUER)
        if said["aud"] is None:
            return None
        aud = _decode_audience(said["aud"])
        refusal = _WRONG_AUDIENCE if self._is_for_others(aud) else None
        return self._remember(text, said.end("aud"), refusal)

    def _remember(
        self, text: bytes, octets: int, refusal: TokenRefusal | None
    ) -> TokenRefusal | None:
        """So many octets, which `text` begins with, say it of whatever follows."""
        size = (octets + 2) // 3 * 4
        sizes = {size, *self._sizes}
        if len(self.remembered) >= MAX_BEGINNINGS or len(sizes) > MAX_SIZES:
            self.remembered.clear()
            sizes = {size}
        self._sizes = tuple(sizes)
        self.remembered[text[:size]] = refusal
        return refusal

    def _is_for_others(self, aud: str | tuple[str, ...]) -> bool:
        ours = self._audiences
        return ours is not None and ours.isdisjoint(_named_by(aud))


NO_START = b"."
"""What no token starts with."""

MAX_BEGINNING = 1024
"""Characters of the claims in which they are looked for."""

MAX_BEGINNINGS = 512
MAX_SIZES = 4  # each is tried with a token that begins in a new way

_NOT_BASE64URL = re.compile(rb"[^A-Za-z0-9_-]").search
_AS_OURS_BEGIN = re.compile(
    # The members that our issuer writes first, in strings without an escape.
    rb'\{"iss":"(?P<iss>@)"(?:,"sub":"@","client_id":"@",'
    rb'"aud":(?P<aud>"@"|\["@"(?:,"@")*\]))?'.replace(b"@", rb"[ !#-\[\]-~]*")
).match
_decode_audience = msgspec.json.Decoder(str | tuple[str, ...]).decode


def verify_access_token(
    token: bytes | str,
    *,
    keys: Mapping[str, PublicKey],
    issuer: str,
    audiences: AbstractSet[str] | None,
) -> VerifiedAccessToken | TokenRefusal:
    """What the issuer signed, or why it is none: read, then verified."""
    if isinstance(token, str):
        token = token.encode("ascii", "replace")
    read = Reader(issuer, audiences).read(token, keys)
    return read if isinstance(read, TokenRefusal) else read.verify()


def _named_by(aud: str | tuple[str, ...]) -> tuple[str, ...]:
    return (aud,) if isinstance(aud, str) else aud


def access_token_claims(
    *,
    issuer: str,
    client_id: str,
    audiences: Iterable[str],
    scopes: Iterable[str],
    jti: str,
    key: str,
    rev: int,
    issued_at: int,
    lifetime: int,
) -> AccessTokenClaims:
    """The claims of a new token; `issued_at` and `lifetime` are in whole seconds."""
    return AccessTokenClaims(
        iss=issuer,
        sub=client_id,
        client_id=client_id,
        aud=tuple(audiences),
        iat=issued_at,
        exp=issued_at + lifetime,
        jti=jti,
        scope=format_scope(scopes),
        rev=rev,
        key=key,
    )


def mint_access_token(claims: AccessTokenClaims, key: SigningKey) -> str:
    """The token that says `claims`, signed by the issuer."""
    return sign(key, msgspec.json.encode(claims), typ=_TYPE)


def access_token_to_sign(claims: AccessTokenClaims, key: PublicKey) -> bytes:
    """What `mint_access_token` has the private half of `key` sign."""
    return signing_input(key, msgspec.json.encode(claims), typ=_TYPE)
