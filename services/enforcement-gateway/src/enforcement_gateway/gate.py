"""The whole decision about one request: what it shows, whose it is, may it pass.

Everything here is synchronous and asks nobody. Where the answer would be no because
something is unknown, the caller has `Gate.confirm` read the logs, and decides again.
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, TypeVar

from enforcement_gateway import clocks
from enforcement_gateway.body.last_write_key import last_write_keys
from enforcement_gateway.confirmation import Confirmation, Waiting
from enforcement_gateway.counters import Counters, WouldBeDenial
from enforcement_gateway.credentials import (
    Authorization,
    Query,
    function_of,
    pixel_write_keys,
)
from enforcement_gateway.domain.authorization import (
    Admit,
    Demand,
    Deny,
    Grounds,
    KnownToken,
    Naming,
    admits_plainly,
    authorize,
    facts_about,
    is_enforced,
    named_source,
)
from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.http.routes import SCOPES, Door
from enforcement_gateway.verification import SigningKeys, Verifier
from enforcement_gateway.view import View
from tollgate.events.registry import Enforcement
from tollgate.oauth.access_tokens import UnverifiedAccessToken, VerifiedAccessToken
from tollgate.oauth.scopes import Scope

Question: TypeAlias = tuple[bytes | VerifiedAccessToken | Reason, bytes, int]
"""A token, or what it was found to be; a plain request, and where its body begins."""

Look: TypeAlias = Reason | UnverifiedAccessToken | KnownToken | None
"""What a first look says: why not, whose signature is missing, who may be let in."""


AskingT = TypeVar("AskingT", bound=tuple[Any, ...])
"""Who may be let in: a `KnownToken`, a write key, and whatever goes with them."""


class Asked(Protocol):
    """One request, as far as the decision goes.

    `token` is the bearer token, what it was found to be, or why there is none to judge.
    `write_keys` are all that it names, the one it is decided on first. `source_id` is
    what a function's address names beside its key.
    """

    @property
    def door(self) -> Door: ...

    @property
    def token(self) -> bytes | VerifiedAccessToken | Reason: ...

    @property
    def write_keys(self) -> tuple[str, ...]: ...

    @property
    def source_id(self) -> str | None: ...

    @property
    def request_id(self) -> bytes: ...

    @property
    def user_agent(self) -> bytes: ...


ADMITTED = Admit()
NO_SOURCE = Naming()
MAX_USER_AGENT = 120
_TRACKING = Door.TRACKING
_KEY_UNKNOWN = Reason.TOKEN_SIGNING_KEY_UNKNOWN


def write_keys_of(
    door: Door,
    authorization: Authorization,
    query: Query,
    in_body: tuple[str, ...],
) -> tuple[tuple[str, ...], str | None]:
    """Every write key of a request, and the source that a function's address names.

    `in_body` are the keys that a tracking body names. A function's body is never read:
    it may be of any type. Raises `Refused` where a key cannot be told for certain.
    """
    source_id = None
    keys: dict[str, None] = {}
    if authorization.write_key is not None:
        keys[authorization.write_key] = None
    if query.write_key is not None:
        keys[query.write_key] = None
    keys.update(dict.fromkeys(in_body))
    if door is Door.PIXEL and query.data is not None:
        keys.update(dict.fromkeys(pixel_write_keys(query.data)))
    elif door is Door.FUNCTION and query.function is not None:
        source_id, key = function_of(query.function)
        keys[key] = None
    return tuple(keys), source_id


class Gate:
    """Decides by one view, for one issuer; `remembered` is as the verifier has it."""

    def __init__(
        self,
        view: View,
        verifier: Verifier,
        counters: Counters,
        *,
        audiences: Mapping[Scope, str],
        admit_unknown: bool = False,
    ) -> None:
        self._view = view
        self.verifier = verifier
        self.remembered = verifier.remembered
        self._look_at_each = verifier.look_at_each
        self._counters = counters
        self._audiences = audiences
        self._admit_unknown = admit_unknown
        self._keys = SigningKeys(view)
        self._of_keys = Confirmation(view.refresh_tokens)
        self._of_all = Confirmation(view.refresh)
        scope = SCOPES[_TRACKING]
        self._to_track = Demand(scope.value, audiences[scope])
        self._grounds: Grounds | None = None

    def decide(self, asked: Asked) -> Admit | Deny:
        """Pass or deny, by what is known now."""
        token = asked.token
        write_keys = asked.write_keys
        if (
            isinstance(token, bytes)
            and len(write_keys) == 1
            and asked.door is _TRACKING
            and asked.source_id is None
        ):
            known = self.remembered.get(token)
            if known is not None and self.admits_plainly(known, write_keys[0]):
                self._counters.admitted += 1
                return known.admitted
        return self._decide(asked)

    def admits_plainly(self, token: KnownToken, write_key: str) -> bool:
        """Whether it is an everyday yes that the token may track with that write key.

        Else nothing is known yet: `decide` finds out.
        """
        return bool(self.admitted_among([(token, write_key)]))

    def admitted_among(self, asking: list[AskingT]) -> list[AskingT]:
        """Those who are an everyday yes, by the token and write key they begin with.

        Of the others nothing is known yet: `decide` finds out.
        """
        view = self._view
        view.look()
        grounds = self._grounds
        if grounds is None or not grounds.of(view.registry, view.tokens):
            grounds = self._grounds = Grounds(view.registry, view.tokens)
        demand = self._to_track
        admitted = [
            each for each in asking if admits_plainly(each[0], each[1], grounds, demand)
        ]
        # The clocks after the view was read, never before.
        wall = clocks.wall()
        if not view.fresh_at(clocks.boottime(), wall):
            return []
        return [each for each in admitted if each[0].is_plainly_timely(wall)]

    def _decide(self, asked: Asked) -> Admit | Deny:
        """By the whole of the rules."""
        view = self._view
        view.look()
        registry = view.registry
        door = asked.door
        naming = NO_SOURCE
        if door is not Door.ADMIN:
            naming = named_source(
                asked.write_keys,
                registry,
                source_id=asked.source_id,
                admit_unknown=self._admit_unknown,
            )
            if naming.source is None:
                if naming.reason is not None:
                    return Deny(naming.reason)
                if naming.overlooked and not view.fresh_at(
                    clocks.boottime(), clocks.wall()
                ):
                    return Deny(Reason.VIEW_TOO_OLD)
                self._counters.open += 1
                return ADMITTED
        token = asked.token
        shown = (
            self.verifier.verify(token, self._keys)
            if isinstance(token, bytes)
            else token
        )
        facts = facts_about(shown, naming, registry, view.tokens)
        wall = clocks.wall()  # after the view was read, never before
        scope = SCOPES[door]
        verdict = authorize(
            shown,
            facts,
            scope=scope,
            audience=self._audiences[scope],
            now=wall,
            fresh=view.fresh_at(clocks.boottime(), wall),
        )
        if isinstance(verdict, Admit):
            self._counters.admitted += 1
            return verdict
        source = naming.source
        if source is not None and source.enforcement is Enforcement.REPORT:
            self._report(verdict.reason, source.id, shown, asked, wall)
            return ADMITTED
        return verdict

    def refuses(
        self, token: bytes | VerifiedAccessToken | Reason, body: bytes
    ) -> Reason | UnverifiedAccessToken | None:
        """Why a plain request is refused, if its token and the end of its body say so.

        None is no answer, and neither is a token whose signature has to be looked at
        first. A key that enforces needs a good token whatever stands in front of it,
        so that the rest of the body need not be read (ADR 28). In front of one longer
        than `MAX_TAIL` may stand anything.
        """
        if not isinstance(token, bytes | Reason):
            return None
        look = self.refuses_each([(token, body, 0)])[0]
        return None if isinstance(look, KnownToken) else look

    def refuses_each(self, questions: list[Question]) -> list[Look]:
        """As `refuses`; a token that is remembered may be let in.

        One look serves them all, and nobody that is let in (ADR 35).
        """
        view = self._view
        view.look()
        # The clocks after the view was read, never before.
        is_fresh = view.fresh_at(clocks.boottime(), clocks.wall())
        if not questions:
            return []
        tokens, requests, starts = zip(*questions, strict=True)
        write_keys = last_write_keys(requests, starts)
        named = set(write_keys)
        enforced = {key for key in named if key and is_enforced(key, view.registry)}
        looks: list[Look]
        if len(enforced) == len(named):
            looks = [*self._look_at_each(tokens, self._keys)]
        else:
            looks = [
                self._look_at_each((token,), self._keys)[0] if key in enforced else None
                for token, key in zip(tokens, write_keys, strict=True)
            ]
        if is_fresh:
            return looks
        return [None if isinstance(look, Reason) else look for look in looks]

    def confirm(self, waiting: Waiting, reason: Reason, requests: int = 1) -> None:
        """Have the log read that can tell whether it is unknown, and tell it then.

        The issuer's keys are in the tokens log, all else that may be unknown in both.
        `requests` are as many as wait with it.
        """
        self._counters.confirmations += requests
        (self._of_keys if reason is _KEY_UNKNOWN else self._of_all).add(waiting)

    def _report(
        self,
        reason: Reason,
        source_id: str,
        token: VerifiedAccessToken | Reason,
        asked: Asked,
        at: float,
    ) -> None:
        """Count and sample what `enforce` would have denied."""
        self._counters.count_reported(
            WouldBeDenial(
                at=at,
                request_id=asked.request_id.decode(),
                source_id=source_id,
                reason=reason,
                client_id=None if isinstance(token, Reason) else token.client_id,
                user_agent=asked.user_agent[:MAX_USER_AGENT].decode("latin-1"),
            )
        )
