"""Bad tokens, each different: what floods are made of, and why each is refused."""

import random
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from bench.gateway.site import Site
from enforcement_gateway.domain.denials import Reason
from tollgate.oauth import base64url
from tollgate.oauth.signing_keys import SigningKey

POOL = 34_000
"""More than a gateway remembers (32,768), so that none is known when it comes again."""
QUICK_POOL = 6_000
"""For the one round of a quick run, in which some come again: they are not kept."""

_DAY = 86_400


class Flood(NamedTuple):
    """One kind of bad tokens, and what a gateway says to each."""

    name: str
    reason: Reason
    tokens: Callable[[Site], Iterator[str]]

    def pool(self, site: Site) -> list[str]:
        """Many of them, made once for all cases of a site."""
        if self.name not in site.pools:
            count = site.bench.pick(POOL, QUICK_POOL)
            site.pools[self.name] = list(islice(self.tokens(site), count))
        return site.pools[self.name]


def malformed(site: Site) -> Iterator[str]:
    """Neither JSON inside nor always three parts, but the length of a real one."""
    chance = random.Random(1)  # noqa: S311 - not a secret
    length = len(site.token(site.es256))
    while True:
        text = base64url.encode(chance.randbytes(length))[:length]
        for at in chance.choice(((), (length // 3,), (length // 5, length // 2))):
            text = f"{text[:at]}.{text[at + 1 :]}"
        yield text


def unknown_kid(site: Site) -> Iterator[str]:
    """As ours, but for a key that nobody has announced: another each time."""
    chance = random.Random(2)  # noqa: S311 - not a secret
    _, payload, _ = site.token(site.es256).split(".")
    while True:
        kid = base64url.encode(chance.randbytes(32))
        header = base64url.encode(
            b'{"alg":"ES256","typ":"at+jwt","kid":"%b"}' % kid.encode()
        )
        yield f"{header}.{payload}.{base64url.encode(chance.randbytes(64))}"


def wrong_issuer(site: Site) -> Iterator[str]:
    """Signed by our key all the same: the dearest way to be wrong."""
    while True:
        yield site.token(site.es256, iss="https://another-issuer.example")


def wrong_audience(site: Site) -> Iterator[str]:
    while True:
        yield site.token(site.es256, aud=["urn:another:api"])


def expired(site: Site) -> Iterator[str]:
    while True:
        yield site.token(site.es256, lifetime=-_DAY)


def forged(site: Site, key: SigningKey) -> Iterator[str]:
    """A known kid and good claims, but nobody has signed them.

    As a number each signature is one that could have been, so that it is really
    verified: an RSA signature above the modulus would be refused without that.
    """
    chance = random.Random(3)  # noqa: S311 - not a secret
    header, payload, signature = site.token(key).split(".")
    size = len(base64url.decode(signature))
    while True:
        forgery = base64url.encode(b"\0" + chance.randbytes(size - 1))
        yield f"{header}.{payload}.{forgery}"


def forged_es256(site: Site) -> Iterator[str]:
    return forged(site, site.es256)


def forged_rs256(site: Site) -> Iterator[str]:
    return forged(site, site.rs256)


UNKNOWN_KID = Flood("unknown kid", Reason.TOKEN_SIGNING_KEY_UNKNOWN, unknown_kid)
MALFORMED = Flood("malformed", Reason.TOKEN_MALFORMED, malformed)
WRONG_AUDIENCE = Flood("wrong audience", Reason.TOKEN_AUDIENCE_WRONG, wrong_audience)
FLOODS = (
    MALFORMED,
    UNKNOWN_KID,
    Flood("wrong issuer", Reason.TOKEN_ISSUER_WRONG, wrong_issuer),
    WRONG_AUDIENCE,
    Flood("expired", Reason.TOKEN_EXPIRED, expired),
)
FORGED_ES256 = Flood("forged ES256", Reason.TOKEN_SIGNATURE_WRONG, forged_es256)
FORGED_RS256 = Flood("forged RS256", Reason.TOKEN_SIGNATURE_WRONG, forged_rs256)
