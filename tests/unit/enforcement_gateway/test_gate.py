"""The decision about one request, by a view that a test writes."""

import asyncio
import json
import time
from datetime import timedelta
from itertools import product

import msgspec
import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from enforcement_gateway.body.write_keys import read_write_keys_strictly
from enforcement_gateway.counters import MAX_SAMPLES, Counters
from enforcement_gateway.credentials import NONE, Authorization, Query
from enforcement_gateway.domain.authorization import Admit, Deny
from enforcement_gateway.domain.denials import DENIALS, Reason, Refused
from enforcement_gateway.gate import Gate, write_keys_of
from enforcement_gateway.http.routes import Door
from enforcement_gateway.verification import Verifier
from enforcement_gateway.view import View
from tollgate.events.registry import Enforcement, EnforcementChanged, ScopesChanged
from tollgate.events.tokens import SigningKeyAnnounced, TokenRevoked
from tollgate.messaging.subscription import NotLevel
from tollgate.oauth.access_tokens import (
    UnverifiedAccessToken,
    access_token_claims,
    mint_access_token,
)
from tollgate.oauth.base64url import encode_to_bytes
from tollgate.oauth.scopes import DEFAULT_AUDIENCES, Scope, audiences_of
from tollgate.projections.moments import Moment
from tollgate.registry.state import RegistryState
from tollgate.testing.folded_logs import RECORDED_AT, FoldedLogs
from tollgate.testing.keys import signing_key

ISSUER = "https://issuer.test"
KEY = signing_key()
OTHER = signing_key(nth=1)


class FoldedView(FoldedLogs, View):
    """As fresh as a test says, and refreshed by recording `unheard`."""

    def __init__(self) -> None:
        super().__init__()
        self.is_fresh = True
        self.reachable = True
        self.unheard = []
        self.signing_key(KEY.kid, alg=KEY.public.alg.value, pem=KEY.public.pem)
        self.app()
        self.source("enforced", Enforcement.ENFORCE, "app_1")
        self.source("reporting", Enforcement.REPORT, "app_1")
        self.source("open")

    def look(self) -> None:
        """What was recorded is what it says."""

    def fresh_at(self, boottime: float, wall: float) -> bool:
        assert abs(wall - time.time()) < 60
        assert abs(boottime - Moment.now().boottime) < 60
        return self.is_fresh

    async def refresh(self) -> None:
        if not self.reachable:
            raise NotLevel("down")
        for stream, fact in self.unheard:
            self.record(stream, fact)

    async def refresh_tokens(self) -> None:
        self.unheard = [
            (stream, fact)
            for stream, fact in self.unheard
            if isinstance(fact, SigningKeyAnnounced)
        ]
        await self.refresh()


@pytest.fixture
def view() -> FoldedView:
    return FoldedView()


@pytest.fixture
def counters() -> Counters:
    return Counters()


def gate_of(
    view: FoldedView, counters: Counters | None = None, **settings: bool
) -> Gate:
    return Gate(
        view,
        Verifier(ISSUER),
        Counters() if counters is None else counters,
        audiences=DEFAULT_AUDIENCES,
        **settings,
    )


def token(*scopes: Scope, **claims: object) -> bytes:
    granted = scopes or (Scope.TRACKING_API_WRITE,)
    named = {
        "issuer": ISSUER,
        "client_id": "app_1",
        "audiences": audiences_of(granted),
        "scopes": granted,
        "jti": "jti-1",
        "key": "kid-1/2",
        "rev": 0,
        "issued_at": int(time.time()),
        "lifetime": 3600,
    }
    claims = access_token_claims(**{**named, **claims})
    return mint_access_token(claims, KEY).encode()


class Asked(msgspec.Struct):
    """A request, as far as the gate looks at it."""

    door: Door
    token: bytes | Reason
    write_keys: tuple[str, ...]
    user_agent: bytes
    source_id: str | None = None
    request_id: bytes = b"request-1"


def asked(
    *write_keys: str,
    bearer: bytes | Reason = Reason.TOKEN_MISSING,
    door: Door = Door.TRACKING,
    user_agent: bytes = b"",
) -> Asked:
    return Asked(
        door=door,
        token=bearer,
        write_keys=write_keys,
        user_agent=user_agent,
    )


class TestEnforce:
    def test_a_good_token_passes_as_its_app(self, view, counters) -> None:
        verdict = gate_of(view, counters).decide(asked("enforced-key", bearer=token()))
        assert verdict == Admit("app_1")
        assert (counters.admitted, counters.open) == (1, 0)

    def test_one_that_expired_after_it_was_verified_does_not(self, view) -> None:
        gate, bearer = gate_of(view), token()
        assert gate.decide(asked("enforced-key", bearer=bearer)) == Admit("app_1")
        known = gate.remembered.get(bearer)
        assert known is not None
        gate.remembered.add(bearer, replace(known.verified, exp=time.time() - 60))
        verdict = gate.decide(asked("enforced-key", bearer=bearer))
        assert verdict == Deny(Reason.TOKEN_EXPIRED)

    def test_none_is_denied(self, view) -> None:
        verdict = gate_of(view).decide(asked("enforced-key"))
        assert verdict == Deny(Reason.TOKEN_MISSING)

    def test_a_revocation_after_the_first_use_counts(self, view) -> None:
        gate, request = gate_of(view), asked("enforced-key", bearer=token())
        assert gate.decide(request) == Admit("app_1")
        expiry = RECORDED_AT + timedelta(days=9999)
        view.record("oauth_app-app_1", TokenRevoked(jti="jti-1", expires_at=expiry))
        assert gate.decide(request) == Deny(Reason.TOKEN_REVOKED)

    @pytest.mark.parametrize("which", ["registry", "tokens"])
    def test_a_state_that_was_built_anew_counts(self, view, which) -> None:
        gate, request = gate_of(view), asked("enforced-key", bearer=token())
        for _ in range(2):  # once by the rules, once as one that is known
            assert gate.decide(request) == Admit("app_1")
        setattr(view, which, getattr(FoldedLogs(), which))
        assert gate.decide(request) == Deny(
            Reason.WRITE_KEY_UNKNOWN
            if which == "registry"
            else Reason.TOKEN_SIGNING_KEY_UNKNOWN
        )

    def test_the_pixel_is_a_tracking_door(self, view) -> None:
        gate = gate_of(view)
        request = asked("enforced-key", door=Door.PIXEL)
        assert gate.decide(request) == Deny(Reason.TOKEN_MISSING)
        request = asked("enforced-key", door=Door.FUNCTION, bearer=token())
        assert gate.decide(request) == Deny(Reason.TOKEN_AUDIENCE_WRONG)


class TestReport:
    def test_what_would_be_denied_passes_and_is_told(self, view, counters) -> None:
        gate = gate_of(view, counters)
        request = asked("reporting-key", user_agent=b"\xe9" * 500)
        assert gate.decide(request) == Admit()
        assert counters.reported == {Reason.TOKEN_MISSING: 1}
        (sample,) = counters.samples
        assert (sample.source_id, sample.client_id) == ("src_reporting", None)
        assert sample.user_agent == "\xe9" * 120

    def test_the_app_is_named_though_its_token_would_not_do(
        self, view, counters
    ) -> None:
        bearer = token(Scope.FUNCTIONS_WRITE)
        gate_of(view, counters).decide(asked("reporting-key", bearer=bearer))
        (sample,) = counters.samples
        assert sample.client_id == "app_1"

    def test_it_is_not_told_to_the_upstream_that_an_app_was_verified(
        self, view
    ) -> None:
        bearer = token(Scope.FUNCTIONS_WRITE)
        request = asked("reporting-key", bearer=bearer)
        assert gate_of(view).decide(request) == Admit(None)

    def test_samples_have_an_end(self, view, counters) -> None:
        gate = gate_of(view, counters)
        for _ in range(2 * MAX_SAMPLES):
            gate.decide(asked("reporting-key"))
        assert len(counters.samples) == MAX_SAMPLES
        assert counters.reported == {Reason.TOKEN_MISSING: 2 * MAX_SAMPLES}

    def test_it_gives_no_cover_to_a_source_that_enforces(self, view) -> None:
        gate = gate_of(view)
        for keys in (
            ("reporting-key", "enforced-key"),
            ("enforced-key", "reporting-key"),
        ):
            verdict = gate.decide(asked(*keys, bearer=token()))
            assert verdict == Deny(Reason.SOURCES_MIXED)


class TestAge:
    @pytest.fixture(autouse=True)
    def old(self, view) -> None:
        view.is_fresh = False

    def test_a_guarded_source_is_closed(self, view) -> None:
        request = asked("enforced-key", bearer=token())
        assert gate_of(view).decide(request) == Deny(Reason.VIEW_TOO_OLD)

    def test_an_open_source_and_one_that_reports_stay_open(self, view) -> None:
        assert gate_of(view).decide(asked("open-key")) == Admit()
        assert gate_of(view).decide(asked("reporting-key")) == Admit()

    def test_unknown_keys_do_not_pass_because_nobody_has_heard(self, view) -> None:
        """A gateway that has read nothing yet knows no source that enforces."""
        gate = gate_of(view, admit_unknown=True)
        for keys in (("nobodys",), ("nobodys", "open-key")):
            assert gate.decide(asked(*keys)) == Deny(Reason.VIEW_TOO_OLD)
        view.is_fresh = True
        for keys in (("nobodys",), ("nobodys", "open-key")):
            assert gate.decide(asked(*keys)) == Admit()

    def test_the_admin_api_is_closed(self, view) -> None:
        bearer = token(Scope.PUBLIC_API_READ_WRITE)
        request = asked(door=Door.ADMIN, bearer=bearer)
        assert gate_of(view).decide(request) == Deny(Reason.VIEW_TOO_OLD)


class TestAdminDoor:
    def test_it_asks_for_its_scope_and_for_no_source(self, view) -> None:
        gate = gate_of(view)
        bearer = token(Scope.PUBLIC_API_READ_WRITE)
        assert gate.decide(asked(door=Door.ADMIN, bearer=bearer)) == Admit("app_1")
        verdict = gate.decide(asked(door=Door.ADMIN, bearer=token()))
        assert verdict == Deny(Reason.TOKEN_AUDIENCE_WRONG)
        assert gate.decide(asked(door=Door.ADMIN)) == Deny(Reason.TOKEN_MISSING)

    def test_an_open_write_key_opens_it_for_nobody(self, view) -> None:
        verdict = gate_of(view).decide(asked("open-key", door=Door.ADMIN))
        assert verdict == Deny(Reason.TOKEN_MISSING)


class Waiting:
    """A request that has asked to be told when the logs were read."""

    def __init__(self) -> None:
        self.heard: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def confirmed(self, is_level: bool) -> None:
        self.heard.set_result(is_level)

    def break_off(self, fault: Exception) -> None:
        self.heard.set_exception(fault)


def waiting_for(
    gate: Gate, unknown: Reason = Reason.APP_UNKNOWN
) -> asyncio.Future[bool]:
    waiting = Waiting()
    gate.confirm(waiting, unknown)
    return waiting.heard


def read_when_told(view: FoldedView) -> tuple[list[int], asyncio.Semaphore]:
    """What readings of its logs have begun, and what each of them waits for."""
    begun, going_on = [], asyncio.Semaphore(0)

    async def refresh() -> None:
        begun.append(len(begun))
        await going_on.acquire()

    view.refresh = refresh
    return begun, going_on


class TestConfirmed:
    """The view is read after the request arrived, before it hears an unknown."""

    async def test_what_was_unheard_of_passes(self, view, counters) -> None:
        withdrawn = ScopesChanged(scopes=(Scope.FUNCTIONS_WRITE,))
        view.record("oauth_app-app_1", withdrawn)
        gate, request = gate_of(view, counters), asked("enforced-key", bearer=token())
        assert gate.decide(request) == Deny(Reason.SCOPE_WITHDRAWN)
        granted = ScopesChanged(scopes=(Scope.TRACKING_API_WRITE,))
        view.unheard = [("oauth_app-app_1", granted)]
        assert await waiting_for(gate)
        assert gate.decide(request) == Admit("app_1")
        assert counters.confirmations == 1

    @pytest.mark.parametrize(
        "unknown", [each for each in Reason if DENIALS[each].unknown]
    )
    async def test_the_log_is_read_that_knows_of_it(self, view, unknown) -> None:
        """Of the issuer's keys the registry knows nothing."""
        key = SigningKeyAnnounced(alg=OTHER.public.alg.value, pem=OTHER.public.pem)
        app = ScopesChanged(scopes=(Scope.FUNCTIONS_WRITE,))
        view.unheard = [
            (f"signing_key-{OTHER.kid}", key),
            ("oauth_app-app_1", app),
        ]
        before = view.registry.apps["app_1"].scopes
        assert await waiting_for(gate_of(view), unknown)
        assert OTHER.kid in view.tokens.signing_keys
        is_of_a_key = unknown is Reason.TOKEN_SIGNING_KEY_UNKNOWN
        assert (view.registry.apps["app_1"].scopes == before) is is_of_a_key

    async def test_who_waits_for_one_log_waits_for_no_other(self, view) -> None:
        hanging = asyncio.Event()
        view.refresh = hanging.wait
        view.refresh_tokens = lambda: asyncio.sleep(0)
        gate = gate_of(view)
        app = waiting_for(gate)
        assert await waiting_for(gate, Reason.TOKEN_SIGNING_KEY_UNKNOWN)
        assert not app.done()
        hanging.set()
        assert await app

    async def test_all_who_come_during_a_reading_share_the_next(self, view) -> None:
        """The one under way began before they came, so it is of no use to them."""
        begun, going_on = read_when_told(view)
        gate = gate_of(view)
        first = waiting_for(gate)
        while not begun:
            await asyncio.sleep(0)
        later = [waiting_for(gate) for _ in range(9)]
        await asyncio.sleep(0)
        assert begun == [0]
        assert not first.done()
        going_on.release()
        assert await first
        assert not any(each.done() for each in later)
        going_on.release()
        assert await asyncio.gather(*later) == [True] * 9
        assert begun == [0, 1]

    async def test_who_comes_as_soon_as_it_was_told_shares_that_one(self, view) -> None:
        """As those of a flood do, who come back at once."""
        begun, going_on = read_when_told(view)
        gate = gate_of(view)
        back: list[asyncio.Future[bool]] = []

        def come_back(told: asyncio.Future[bool]) -> None:
            assert told.result()
            back.append(waiting_for(gate))

        first = waiting_for(gate)
        first.add_done_callback(come_back)
        while not begun:
            await asyncio.sleep(0)
        other = waiting_for(gate)
        for _ in range(2):
            going_on.release()
        assert await other
        assert await back[0]
        assert begun == [0, 1]

    async def test_a_fault_of_ours_is_told_to_each_and_is_over_then(self, view) -> None:
        faults, refresh = [RuntimeError()], view.refresh

        async def fail_once() -> None:
            if faults:
                raise faults.pop()
            await refresh()

        view.refresh = fail_once
        gate = gate_of(view)
        outcomes = await asyncio.gather(
            *(waiting_for(gate) for _ in range(2)), return_exceptions=True
        )
        assert [type(each) for each in outcomes] == [RuntimeError, RuntimeError]
        assert await waiting_for(gate)

    async def test_nobody_hears_a_yes_while_nobody_can_be_asked(self, view) -> None:
        view.reachable = False
        assert await waiting_for(gate_of(view)) is False


# --- A no without the body ---

_, PAYLOAD, SIGNATURE = token().split(b".")
KNOWN_KID = {"alg": "ES256", "typ": "at+jwt", "kid": KEY.kid}


def part(members: object) -> bytes:
    return encode_to_bytes(msgspec.json.encode(members))


BEARERS = {
    "none": Reason.TOKEN_MISSING,
    "two": Reason.CREDENTIALS_MALFORMED,
    "good": token(),
    "of another door": token(Scope.FUNCTIONS_WRITE),
    "of nobody's app": token(client_id="app_2"),
    "rubbish": b"x.y.z",
    "of two parts": b"x.y",
    "with another kid": b"%b.%b.%b"
    % (part({**KNOWN_KID, "kid": "other"}), PAYLOAD, SIGNATURE),
    "of another issuer": token(issuer="https://elsewhere.test"),
    "for nobody": token(audiences=["urn:elsewhere"]),
    "over": token(lifetime=-3600),
    "forged": b"%b.%b.%b" % (part(KNOWN_KID), PAYLOAD, b"A" * 86),
    "bare": b"%b.%b.%b" % (part(KNOWN_KID), part({}), SIGNATURE),
}
KEYS = ("enforced-key", "reporting-key", "open-key", "nobodys")
MEMBERS = st.lists(
    st.tuples(
        st.sampled_from(["writeKey", "writeKey", "batch", "WRITEKEY", "sentAt"]),
        st.sampled_from([*KEYS, *KEYS, [{"writeKey": "open-key"}], [], 1, "\u00e9"]),
    ),
    max_size=4,
)


def body_of(members: list[tuple[str, object]]) -> bytes:
    pairs = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in members)
    return f"{{{', '.join(pairs)}}}".encode()


class TestRefusesByTheEndOfTheBody:
    """What it refuses, the whole of the rules refuses too, whatever for."""

    @given(
        members=MEMBERS,
        spoilt=st.booleans(),
        bearer=st.sampled_from(sorted(BEARERS)),
        is_fresh=st.booleans(),
        admit_unknown=st.booleans(),
        remembers=st.booleans(),
    )
    @example(
        members=[("writeKey", "open-key")],
        spoilt=False,
        bearer="rubbish",
        is_fresh=True,
        admit_unknown=False,
        remembers=False,
    )
    def test_never_what_would_pass(
        self, *, members, spoilt, bearer, is_fresh, admit_unknown, remembers
    ) -> None:
        view = FoldedView()
        view.is_fresh = is_fresh
        gate = gate_of(view, admit_unknown=admit_unknown)
        shown = BEARERS[bearer]
        if remembers:
            gate.decide(asked("enforced-key", bearer=shown))
        body = body_of(members)[1 if spoilt else 0 :]
        refusal = gate.refuses(shown, body)
        if isinstance(refusal, UnverifiedAccessToken):
            refusal = gate.refuses(gate.verifier.settle(shown, refusal), body)
        if refusal is None:
            event("asks the rules")
            return
        event(f"refuses for {refusal}")
        assert is_fresh
        try:
            keys = read_write_keys_strictly(body)
        except Refused:
            return
        verdict = gate.decide(asked(*keys, bearer=shown))
        assert isinstance(verdict, Deny)
        if set(keys) == {"enforced-key"}:
            assert verdict == Deny(refusal)

    @pytest.mark.parametrize(
        ("bearer", "reason"),
        [
            ("none", Reason.TOKEN_MISSING),
            ("rubbish", Reason.TOKEN_MALFORMED),
            ("of two parts", Reason.TOKEN_MALFORMED),
            ("with another kid", Reason.TOKEN_SIGNING_KEY_UNKNOWN),
            ("of another issuer", Reason.TOKEN_ISSUER_WRONG),
            ("for nobody", Reason.TOKEN_AUDIENCE_WRONG),
            ("over", Reason.TOKEN_EXPIRED),
            ("bare", Reason.TOKEN_MALFORMED),
        ],
    )
    def test_the_reason_is_that_of_the_token(self, view, bearer, reason) -> None:
        audiences = frozenset(DEFAULT_AUDIENCES.values())
        verifier = Verifier(ISSUER, audiences=audiences)
        gate = Gate(view, verifier, Counters(), audiences=DEFAULT_AUDIENCES)
        body = body_of([("batch", [{}]), ("writeKey", "enforced-key")])
        assert gate.refuses(BEARERS[bearer], body) == reason

    @pytest.mark.parametrize(
        ("bearer", "reason"),
        [("forged", Reason.TOKEN_SIGNATURE_WRONG), ("good", None)],
    )
    def test_a_signature_is_looked_at_elsewhere(self, view, bearer, reason) -> None:
        gate, shown = gate_of(view), BEARERS[bearer]
        body = body_of([("writeKey", "enforced-key")])
        unverified = gate.refuses(shown, body)
        assert isinstance(unverified, UnverifiedAccessToken)
        settled = gate.verifier.settle(shown, unverified)
        assert gate.refuses(settled, body) == reason
        verdict = gate.decide(asked("enforced-key", bearer=settled))
        assert verdict == (Admit("app_1") if reason is None else Deny(reason))

    def test_an_old_view_refuses_nothing_for_its_token(self, view) -> None:
        view.is_fresh = False
        body = body_of([("writeKey", "enforced-key")])
        assert gate_of(view).refuses(b"x.y.z", body) is None


CHANGES = {
    "nothing": lambda _: None,
    "it ages": lambda view: setattr(view, "is_fresh", False),
    "it is polled": lambda view: setattr(view, "is_fresh", True),
    **{
        f"{name} is to {mode}": lambda view, name=name, mode=mode: view.record(
            f"source-src_{name}", EnforcementChanged(mode=mode)
        )
        for name, mode in product(["enforced", "open"], Enforcement)
    },
}
"""What may happen to a view between two turns of the loop."""


class LookingView(FoldedView):
    """Says nothing before it was looked at, and counts how often it was."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.registry = self.registry, RegistryState()
        self.looks = 0

    def look(self) -> None:
        self.looks += 1
        self.registry = self.hidden


class TestRefusesEach:
    """One look serves all that are asked about together: nothing changes meanwhile."""

    @given(
        bursts=st.lists(
            st.tuples(
                st.sampled_from(sorted(CHANGES)),
                st.lists(
                    st.tuples(
                        st.sampled_from(KEYS),
                        st.sampled_from(sorted(BEARERS)),
                        st.sampled_from([b"", b"{", b'"writeKey":"open-key"']),
                    ),
                    max_size=4,
                ),
            ),
            max_size=6,
        )
    )
    def test_as_if_it_were_alone(self, bursts) -> None:
        """Whatever stands in front of its body."""
        view = FoldedView()
        gate = gate_of(view)
        for change, requests in bursts:
            CHANGES[change](view)
            looks = gate.refuses_each(
                [
                    (BEARERS[bearer], head + body_of([("writeKey", key)]), len(head))
                    for key, bearer, head in requests
                ]
            )
            alone = [
                gate_of(view).refuses(BEARERS[bearer], body_of([("writeKey", key)]))
                for key, bearer, _ in requests
            ]
            event(f"{sum(each is not None for each in alone)} refused after {change}")
            assert looks == alone

    def test_all_by_one_look(self) -> None:
        view = LookingView()
        gate = gate_of(view)
        body = body_of([("writeKey", "enforced-key")])
        for looks in (1, 2):
            assert gate.refuses(b"x.y.z", body) is Reason.TOKEN_MALFORMED
            assert view.looks == looks
        for looks in (3, 4):
            refused = gate.refuses_each(3 * [(b"x.y.z", body, 0)])
            assert refused == 3 * [Reason.TOKEN_MALFORMED]
            assert view.looks == looks

    def test_a_yes_has_its_own_look_and_its_own_clocks(self) -> None:
        """Also behind a refusal that found the view fresh."""
        view = LookingView()
        gate = gate_of(view)
        good = asked("enforced-key", bearer=token())
        assert gate.decide(good) == Admit("app_1")
        body = body_of([("writeKey", "enforced-key")])
        assert gate.refuses_each([(b"x.y.z", body, 0)]) == [Reason.TOKEN_MALFORMED]
        looks = view.looks
        assert gate.decide(good) == Admit("app_1")
        assert view.looks > looks
        view.is_fresh = False
        assert gate.decide(good) == Deny(Reason.VIEW_TOO_OLD)


class TestWriteKeysOf:
    def test_every_place_is_read_and_the_header_comes_first(self) -> None:
        keys = write_keys_of(
            Door.TRACKING,
            Authorization(write_key="basic"),
            Query(write_key="query"),
            ("body", "event", "basic"),
        )
        assert keys == (("basic", "query", "body", "event"), None)

    def test_the_payload_of_a_pixel_is_read(self) -> None:
        data = b"eyJ3cml0ZUtleSI6ImsifQ"
        assert write_keys_of(Door.PIXEL, NONE, Query(data=data), ()) == (("k",), None)

    def test_the_address_of_a_function_names_source_and_key(self) -> None:
        query = Query(function=b"c3JjOjprZXk")
        assert write_keys_of(Door.FUNCTION, NONE, query, ()) == (("key",), "src")

    def test_it_is_read_at_its_own_door_only(self) -> None:
        query = Query(function=b"c3JjOjprZXk", data=b"!")
        assert write_keys_of(Door.TRACKING, NONE, query, ("k",)) == (("k",), None)

    def test_what_cannot_be_told_for_certain_is_refused(self) -> None:
        for door, query in (
            (Door.PIXEL, Query(data=b"e30!")),
            (Door.FUNCTION, Query(function=b"a2V5")),
        ):
            with pytest.raises(Refused):
                write_keys_of(door, NONE, query, ())
