"""Whether a request may pass: pure, and it starts from no.

Every input is an argument, so that a verdict can be reached again later. The facts are
read from the view first and the clocks after them, per decision: a process that was
frozen in between sees how old its facts are, and refuses (DESIGN 4).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from sys import intern
from types import MappingProxyType
from typing import TypeAlias

import msgspec

from enforcement_gateway.domain import asked
from enforcement_gateway.domain.denials import Reason
from tollgate.events.registry import Enforcement
from tollgate.oauth.access_tokens import TokenRefusal, VerifiedAccessToken
from tollgate.registry.oauth_app import OAuthApp
from tollgate.registry.source import Source
from tollgate.registry.state import Lead, RegistryState
from tollgate.tokens.revoked import name_of
from tollgate.tokens.state import SigningKey, SigningKeyStatus, TokensState


class Naming(msgspec.Struct, frozen=True):
    """Whose request it is, by the write keys it names.

    `source` is the one that asks for a token; without one, and without a `reason` to
    refuse, the request passes as it came. `overlooked`: not because its sources are
    open, but because nobody knows them, which only a fresh view can say.
    """

    source: Source | None = None
    reason: Reason | None = None
    overlooked: bool = False


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the view says about a guarded request: its source, and its token's app."""

    source: Source | None = None
    mixed: bool = False
    app: OAuthApp | None = None
    signing_key: SigningKey | None = None
    revoked: bool = False


class Admit(msgspec.Struct, frozen=True, gc=False):
    """The request goes on: for the app that was verified, or for nobody in particular.

    It has no `client_id` where no token was asked for.
    """

    client_id: str | None = None


class Deny(msgspec.Struct, frozen=True):
    reason: Reason


Verdict: TypeAlias = Admit | Deny

_OFF = Enforcement.OFF
_ENFORCE = Enforcement.ENFORCE
_COMPROMISED = SigningKeyStatus.COMPROMISED

OF_TOKENS: Mapping[TokenRefusal, Reason] = MappingProxyType(
    {
        TokenRefusal.MALFORMED: Reason.TOKEN_MALFORMED,
        TokenRefusal.WRONG_TYPE: Reason.TOKEN_MALFORMED,
        TokenRefusal.UNKNOWN_KEY: Reason.TOKEN_SIGNING_KEY_UNKNOWN,
        TokenRefusal.BAD_SIGNATURE: Reason.TOKEN_SIGNATURE_WRONG,
        TokenRefusal.WRONG_ISSUER: Reason.TOKEN_ISSUER_WRONG,
        TokenRefusal.WRONG_AUDIENCE: Reason.TOKEN_AUDIENCE_WRONG,
        TokenRefusal.SENDER_CONSTRAINED: Reason.TOKEN_SENDER_CONSTRAINED,
        TokenRefusal.EXPIRED: Reason.TOKEN_EXPIRED,
        TokenRefusal.NOT_YET_VALID: Reason.TOKEN_NOT_YET_VALID,
    }
)


def named_source(
    write_keys: Sequence[str],
    registry: RegistryState,
    *,
    source_id: str | None = None,
    admit_unknown: bool = False,
) -> Naming:
    """Find the one source that decides.

    If any key belongs to a source in report or enforce, all must name that one, and so
    must `source_id`, where a request names a source as well and it is one of ours.
    `admit_unknown` overlooks keys nobody knows, while a deployment migrates.
    """
    named: dict[str, Source | None] = {}
    for write_key in write_keys:
        known = registry.write_keys.get(write_key)
        if known is None:
            if not admit_unknown:
                return Naming(reason=Reason.WRITE_KEY_UNKNOWN)
            named[""] = None
        elif not known.live:
            return Naming(reason=Reason.WRITE_KEY_DELETED)
        else:
            named[known.source_id] = registry.sources[known.source_id]
    if not named and not admit_unknown:
        return Naming(reason=Reason.WRITE_KEY_MISSING)
    if source_id is not None and source_id in registry.sources:
        named[source_id] = registry.sources[source_id]
        if registry.sources[source_id].deleted:
            return Naming(reason=Reason.SOURCE_DELETED)
    guarded: Source | None = None
    for source in named.values():
        if source is None or source.enforcement is Enforcement.OFF:
            continue
        if guarded is None or source.enforcement is Enforcement.ENFORCE:
            guarded = source
    if guarded is None:
        return Naming(overlooked=None in named.values())
    return Naming(guarded, Reason.SOURCES_MIXED if len(named) > 1 else None)


def is_enforced(write_key: str, registry: RegistryState) -> bool:
    """Whether a request that names the key passes with a good token only."""
    known = registry.write_keys.get(write_key)
    return known is not None and known.live and known.source.enforcement is _ENFORCE


def facts_about(
    token: VerifiedAccessToken | Reason,
    naming: Naming,
    registry: RegistryState,
    tokens: TokensState,
) -> Facts:
    """Look up all that `authorize` will ask. Without a token there is little to ask."""
    mixed = naming.reason is Reason.SOURCES_MIXED
    if isinstance(token, Reason):
        return Facts(source=naming.source, mixed=mixed)
    return Facts(
        source=naming.source,
        mixed=mixed,
        app=registry.apps.get(token.client_id),
        signing_key=tokens.signing_keys.get(token.signing_kid),
        revoked=tokens.is_revoked(
            client_id=token.client_id,
            jti=token.jti,
            key=token.key,
            rev=token.rev,
            iat=token.iat,
        ),
    )


def authorize(
    token: VerifiedAccessToken | Reason,
    facts: Facts,
    *,
    scope: str,
    audience: str,
    now: float,
    fresh: bool,
) -> Verdict:
    """Rule out one doubt per line; whoever reaches the end may pass.

    `token` is a reason where there is none that verified; `fresh` says that the facts
    are no older than they may be at `now`, in seconds since the epoch. Bad before
    stale before forbidden: a new token cures only the middle.
    """
    if not fresh:
        return Deny(Reason.VIEW_TOO_OLD)
    if facts.mixed:
        return Deny(Reason.SOURCES_MIXED)
    if isinstance(token, Reason):
        return Deny(token)
    if audience not in token.audiences:
        return Deny(Reason.TOKEN_AUDIENCE_WRONG)
    signing_key = facts.signing_key
    if signing_key is None:
        return Deny(Reason.TOKEN_SIGNING_KEY_UNKNOWN)
    if not signing_key.verifies:
        return Deny(Reason.TOKEN_SIGNING_KEY_COMPROMISED)
    if not signing_key.outlives(token.exp):
        return Deny(Reason.TOKEN_SIGNING_KEY_RETIRED)
    untimely = token.refusal_at(now)
    if untimely is not None:
        return Deny(OF_TOKENS[untimely])
    if facts.revoked:
        return Deny(Reason.TOKEN_REVOKED)
    app = facts.app
    if app is None:
        return Deny(Reason.APP_UNKNOWN)
    if app.deleted:
        return Deny(Reason.APP_DELETED)
    if not app.honours(token.key):
        return Deny(_gone_or_unheard_of(token.key, app))
    if facts.source is not None and facts.source.app_id != token.client_id:
        return Deny(Reason.SOURCE_NOT_CONNECTED)
    if scope not in token.scopes:
        return Deny(Reason.SCOPE_MISSING)
    if scope not in app.scopes:
        return Deny(Reason.SCOPE_WITHDRAWN)
    return Admit(token.client_id)


class Demand:
    """What a door asks of a token that is to open it."""

    __slots__ = ("audience", "scope")

    def __init__(self, scope: str, audience: str) -> None:
        self.scope = scope
        self.audience = audience


class Grounds:
    """Where an everyday yes is looked up: what a state keeps for as long as it lives.

    `of` says whether it is of these states, which are other objects after a rebuild.
    `asked` is what the write keys led to that were asked about lately (ADR 40): small,
    where all that a view holds fits in no cache, and right for as long as a lead holds.
    """

    __slots__ = (
        "_registry",
        "_tokens",
        "asked",
        "cuts",
        "revoked",
        "signing_keys",
    )

    def __init__(self, registry: RegistryState, tokens: TokensState) -> None:
        self._registry = registry
        self._tokens = tokens
        self.asked = asked.begun()
        self.signing_keys = tokens.signing_keys
        self.cuts = tokens.cuts
        self.revoked = tokens.revoked

    def of(self, registry: RegistryState, tokens: TokensState) -> bool:
        return self._registry is registry and self._tokens is tokens

    def look_up(self, write_key: str) -> Lead | None:
        """What a key leads to of which nothing that holds is in `asked`."""
        lead = self._registry.lead_of(write_key)
        if lead is not None:
            asked.keep(self.asked, write_key, lead)
        return lead

    def is_revoked(self, token: "KnownToken") -> bool:
        """Whether that single token is, among all of them.

        Until another set of the `latest` begins, it need be looked for only there.
        """
        if token.name in self.revoked.names:
            return True
        token.revoked_since = self.revoked.latest
        return False


@lru_cache(maxsize=1024)
def _octets_of(client_id: str) -> bytes:
    """One copy for all tokens of an app."""
    return client_id.encode()


class KnownToken:
    """A verified token as `admits_plainly` asks about it, at every request.

    `text` is the token itself, `admitted` what is answered where it opens the door.
    `lead`, `demand` and `signing_key` are those that it was found good by last. None of
    them changes once it was shown: what comes in its place is another object (ADR 30).
    So the token holds on to an app that may be gone, one at most.
    `revoked_since` is the set that has its name, if it was revoked since it was looked
    for among all that are.
    """

    __slots__ = (
        "admitted",
        "client_id",
        "client_id_octets",
        "demand",
        "exp",
        "lead",
        "name",
        "nbf",
        "revoked_since",
        "signing_key",
        "signing_kid",
        "text",
        "verified",
    )

    def __init__(self, text: bytes, verified: VerifiedAccessToken) -> None:
        self.text = text
        self.verified = verified
        self.client_id = verified.client_id
        self.admitted = Admit(verified.client_id)
        self.client_id_octets = _octets_of(verified.client_id)
        self.name = name_of(verified.client_id, verified.jti)
        # One text for all of them: it is looked up at every request.
        self.signing_kid = intern(verified.signing_kid)
        self.exp = verified.exp
        self.nbf = verified.nbf
        self.lead: Lead | None = None
        self.demand: Demand | None = None
        self.signing_key: SigningKey | None = None
        self.revoked_since: set[str] | None = None

    def is_plainly_timely(self, now: float) -> bool:
        """Whether it is good at `now` even if no clock may differ from another."""
        return self.nbf <= now < self.exp

    def satisfies(self, lead: Lead, demand: Demand) -> bool:
        """Whether it is a token of that app, which honours it, and good for that."""
        app, verified = lead.app, self.verified
        scope = demand.scope
        if (
            app.id != self.client_id
            or app.deleted
            or verified.key not in app.honoured
            or scope not in app.scopes
            or scope not in verified.scopes
            or demand.audience not in verified.audiences
        ):
            return False
        self.lead = lead
        self.demand = demand
        return True

    def trusts(self, signing_key: SigningKey) -> bool:
        """Whether that signs for tokens of any age: the key with its `signing_kid`."""
        if signing_key.status is _COMPROMISED or signing_key.last_expiry is not None:
            return False
        self.signing_key = signing_key
        return True


def admits_plainly(
    token: KnownToken, write_key: str, grounds: Grounds, demand: Demand
) -> bool:
    """Whether `authorize` admits the token to the source of that one write key.

    True only where nothing is the least bit odd; False is no answer, and the rules
    above give it. These are the same doubts, at every request, with no value made of
    any: what the write key leads to, who signed, and what is revoked are looked up
    each time, and what cannot have changed since is not asked again (ADR 40). What
    needs a clock is left to `is_plainly_timely`, to be asked after this. Property tests
    hold it to the rules.
    """
    # Memory is waited for, and these two need not come after what is looked up first.
    good_by, name = token.lead, token.name
    lead = asked.found(grounds.asked, write_key)
    if lead is None or not lead.holds:
        lead = grounds.look_up(write_key)
        if lead is None:
            return False
    if (lead is not good_by or demand is not token.demand) and not token.satisfies(
        lead, demand
    ):
        return False
    signing_key = grounds.signing_keys.get(token.signing_kid)
    if signing_key is None or (
        signing_key is not token.signing_key and not token.trusts(signing_key)
    ):
        return False
    if grounds.cuts and token.client_id in grounds.cuts:
        return False
    since = grounds.revoked.latest
    if token.revoked_since is not since:
        return not grounds.is_revoked(token)
    # No text need be looked into, and fetched for that, where there is none.
    return not since or name not in since


def _gone_or_unheard_of(key: str, app: OAuthApp) -> Reason:
    """Tell a key that was deleted from one added after this view was read."""
    _, _, version = key.rpartition("/")
    if int(version) <= app.version:
        return Reason.APP_KEY_RETIRED
    return Reason.APP_KEY_UNKNOWN
