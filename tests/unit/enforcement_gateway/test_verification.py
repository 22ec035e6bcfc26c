"""What the issuer signed, and for how many tokens that is remembered."""

import asyncio
import time

import pytest

from enforcement_gateway import verification
from enforcement_gateway.counters import Counters
from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.turns import turn
from enforcement_gateway.verification import (
    MAX_ALONE,
    MAX_AT_ONCE,
    Burst,
    SigningKeys,
    Verifier,
)
from tollgate.events.tokens import SigningKeyCompromised
from tollgate.oauth.access_tokens import (
    Reader,
    VerifiedAccessToken,
    access_token_claims,
    mint_access_token,
)
from tollgate.testing.folded_logs import FoldedLogs
from tollgate.testing.keys import signing_key
from tollgate.testing.tokens import client_assertion

ISSUER = "https://issuer.test"
KEY = signing_key()
OTHER = signing_key(nth=1)


@pytest.fixture
def logs() -> FoldedLogs:
    logs = FoldedLogs()
    logs.signing_key(KEY.kid, alg=KEY.public.alg.value, pem=KEY.public.pem)
    return logs


@pytest.fixture
def keys(logs: FoldedLogs) -> SigningKeys:
    return SigningKeys(logs)


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every token whose signature was checked."""
    checked = []

    def count(name):
        read = getattr(Reader, name)

        def counting(self, token, *arguments):
            checked.append(token)
            return read(self, token, *arguments)

        monkeypatch.setattr(Reader, name, counting)

    count("read_parts")
    count("read_again")
    return checked


def token(jti: str = "jti-1", *, key=KEY, age: int = 0, issuer: str = ISSUER) -> bytes:
    claims = access_token_claims(
        issuer=issuer,
        client_id="app_1",
        audiences=["urn:tollgate:tracking-api"],
        scopes=["tracking_api:write"],
        jti=jti,
        key="kid-1/2",
        rev=0,
        issued_at=int(time.time()) - age,
        lifetime=3600,
    )
    return mint_access_token(claims, key).encode()


class TestLookAtEach:
    async def test_it_is_what_each_is_alone(self, keys) -> None:
        """Whatever was looked at before it, and one that is remembered is that."""
        verifier = Verifier(ISSUER)
        known, other = token("known"), token("other", issuer="https://elsewhere.test")
        verifier.verify(known, keys)
        head, claims, signature = other.split(b".")
        tokens = (
            known,
            b"",
            b"x.y.z",
            Reason.TOKEN_MISSING,
            token("new"),
            token("unknown", key=OTHER),
            other,
            other[:-1] + b"_",
            b".".join((head, claims, b"")),
            b".".join((head, claims)),
            b".".join((head, claims, signature, b"")),
            b".".join((head, claims, signature, signature)),
            b".".join((head, claims, 8192 * b"A")),
            known,
        )
        for together in (tokens, tokens[::-1]):
            looks = verifier.look_at_each(together, keys)
            for each, look in zip(together, looks, strict=True):
                if each is known:
                    assert look is verifier.remembered.get(known)
                elif isinstance(each, Reason):
                    assert look is each
                else:
                    assert look == Verifier(ISSUER).read(each, keys)

    async def test_forged_signatures_are_what_each_is_alone(self, keys) -> None:
        """Behind claims that were seen, whatever is among them."""
        verifier, seen = Verifier(ISSUER), token("seen")
        start = seen[:-86]
        forged = [start + 85 * letter + b"A" for letter in (b"B", b"C", b"D")]
        others = (
            *((), (seen,), (Reason.TOKEN_MISSING,), (start + b"A",), (b"x.y.z",)),
            *((forged[0] + b"A",), (forged[0][:-1] + b"B",), (token("new"),)),
        )
        for other in others:
            verifier.verify(forged[0], keys)
            verifier.verify(seen, keys)
            for at in range(len(forged) + 1):
                tokens = (*forged[:at], *other, *forged[at:])
                looks = verifier.look_at_each(tokens, keys)
                for each, look in zip(tokens, looks, strict=True):
                    if each is seen:
                        assert look is verifier.remembered.get(seen)
                    elif isinstance(each, Reason):
                        assert look is each
                    else:
                        assert look == Verifier(ISSUER).read(each, keys)


class TestVerify:
    def test_what_the_issuer_signed_is_told(self, keys) -> None:
        verified = Verifier(ISSUER).verify(token(), keys)
        assert isinstance(verified, VerifiedAccessToken)
        assert (verified.client_id, verified.jti) == ("app_1", "jti-1")
        assert verified.signing_kid == KEY.kid

    def test_the_state_of_the_key_is_judged_elsewhere(self, logs, keys) -> None:
        logs.record(f"signing_key-{KEY.kid}", SigningKeyCompromised())
        verified = Verifier(ISSUER).verify(token(), keys)
        assert isinstance(verified, VerifiedAccessToken)

    def test_a_token_that_is_over_is_refused_unread(self, keys) -> None:
        """Whoever signed it. Within the leeway of the clocks it is judged elsewhere."""
        verifier = Verifier(ISSUER)
        over = token(age=3600 + 31)
        assert verifier.verify(over, keys) is Reason.TOKEN_EXPIRED
        assert verifier.verify(over[:-4] + b"AAAA", keys) is Reason.TOKEN_EXPIRED
        assert len(verifier.remembered) == 0
        assert isinstance(verifier.verify(token(age=3610), keys), VerifiedAccessToken)

    def test_one_for_no_door_of_ours_is_refused_unread(self, keys) -> None:
        ours = frozenset({"urn:tollgate:tracking-api", "urn:tollgate:functions"})
        theirs = frozenset({"urn:elsewhere"})
        assert isinstance(
            Verifier(ISSUER, audiences=ours).verify(token(), keys), VerifiedAccessToken
        )
        verifier = Verifier(ISSUER, audiences=theirs)
        for shown in (token(), token()[:-4] + b"AAAA"):
            assert verifier.verify(shown, keys) is Reason.TOKEN_AUDIENCE_WRONG

    @pytest.mark.parametrize(
        ("made", "reason"),
        [
            (lambda: b"x.y.z", Reason.TOKEN_MALFORMED),
            (lambda: token(issuer="https://else.test"), Reason.TOKEN_ISSUER_WRONG),
            (lambda: token(key=OTHER), Reason.TOKEN_SIGNING_KEY_UNKNOWN),
            (lambda: token()[:-4] + b"AAAA", Reason.TOKEN_SIGNATURE_WRONG),
            (lambda: token() + b"=", Reason.TOKEN_MALFORMED),
            (
                lambda: client_assertion(
                    KEY, client_id="app_1", issuer=ISSUER, now=time.time()
                ).encode(),
                Reason.TOKEN_MALFORMED,
            ),
        ],
        ids=["rubbish", "issuer", "key", "signature", "padding", "assertion"],
    )
    def test_anything_else_is_refused_every_time(self, keys, made, reason) -> None:
        verifier, shown = Verifier(ISSUER), made()
        assert verifier.verify(shown, keys) is reason
        assert verifier.verify(shown, keys) is reason


class TestRemembered:
    def test_a_signature_is_checked_once(self, keys, verifications) -> None:
        verifier, shown = Verifier(ISSUER), token()
        assert verifier.verify(shown, keys) == verifier.verify(shown, keys)
        assert len(verifications) == 1

    def test_a_refusal_is_not_remembered(self, logs, keys, verifications) -> None:
        """The key may come to be known."""
        verifier, shown = Verifier(ISSUER), token(key=OTHER)
        assert verifier.verify(shown, keys) is Reason.TOKEN_SIGNING_KEY_UNKNOWN
        logs.signing_key(OTHER.kid, alg=OTHER.public.alg.value, pem=OTHER.public.pem)
        assert isinstance(verifier.verify(shown, keys), VerifiedAccessToken)
        assert len(verifications) == 2

    @pytest.mark.parametrize("most", [0, 1, 2, 3, 8])
    def test_there_is_an_end_to_it(self, keys, most, verifications) -> None:
        verifier = Verifier(ISSUER, remembered=most)
        shown = [token(f"jti-{number}") for number in range(20)]
        for each in shown:
            assert isinstance(verifier.verify(each, keys), VerifiedAccessToken)
            assert len(verifier.remembered) <= most
        verifier.verify(shown[-1], keys)
        assert len(verifications) == (20 if most else 21)

    def test_the_oldest_are_forgotten_first(self, keys, verifications) -> None:
        verifier = Verifier(ISSUER, remembered=4)
        shown = [token(f"jti-{number}") for number in range(5)]
        for each in shown:
            verifier.verify(each, keys)
        del verifications[:]
        for each in shown[2:]:
            verifier.verify(each, keys)
        assert verifications == []
        verifier.verify(shown[0], keys)
        assert verifications == [shown[0]]


class Asking:
    """A request that waits for its token to be verified."""

    def __init__(self, said: list[object]) -> None:
        self.said = said

    def settled(
        self, about: None, outcome: VerifiedAccessToken | Reason | Exception
    ) -> None:
        assert about is None
        self.said.append(outcome)


class VerifierBetweenTurns(Verifier):
    """Counts what it has `verified`, which must not be during a turn."""

    verified = 0

    def settle_each(self, lot):
        assert not turn.is_under_way
        self.verified += len(lot)
        return super().settle_each(lot)


class TestSettleEach:
    def test_each_is_held_to_the_key_that_it_names(self, logs, keys) -> None:
        logs.signing_key(OTHER.kid, alg=OTHER.public.alg.value, pem=OTHER.public.pem)
        verifier = Verifier(ISSUER)
        shown = [token("1"), token("2", key=OTHER), token("3", key=OTHER), token("4")]
        for at in (1, 3):  # each with the signature of the one before
            start, _, _ = shown[at].rpartition(b".")
            shown[at] = start + b"." + shown[at - 1].rpartition(b".")[2]
        lot = [(each, verifier.read(each, keys)) for each in shown]
        first, second, third, fourth = verifier.settle_each(lot)
        assert (first.jti, third.jti) == ("1", "3")
        assert first.signing_kid == KEY.kid
        assert third.signing_kid == OTHER.kid
        assert second is fourth is Reason.TOKEN_SIGNATURE_WRONG
        known = [verifier.remembered.get(each) is not None for each in shown]
        assert known == [True, False, True, False]


class TestBurst:
    async def test_signatures_are_looked_at_together_and_then_told(self, keys) -> None:
        verifier, order = Verifier(ISSUER), []
        settle_each = verifier.settle_each

        def noting(lot):
            order.extend(len(lot) * ["verified"])
            return settle_each(lot)

        verifier.settle_each = noting
        burst = Burst(verifier, Counters())
        shown = [token(f"jti-{number}") for number in range(MAX_AT_ONCE + 3)]
        shown[1] = shown[1][:-86] + b"A" * 86
        for each in shown:
            burst.add([(Asking(order), None, each, verifier.read(each, keys))])
        assert order == []
        await asyncio.sleep(0)
        assert order[:MAX_AT_ONCE] == ["verified"] * MAX_AT_ONCE
        first = order[MAX_AT_ONCE:]
        assert len(first) == MAX_AT_ONCE
        assert first.pop(1) is Reason.TOKEN_SIGNATURE_WRONG
        assert [each.jti for each in first] == [
            f"jti-{number}" for number in range(MAX_AT_ONCE) if number != 1
        ]
        await asyncio.sleep(0)
        assert [each.jti for each in order[-3:]] == [
            f"jti-{MAX_AT_ONCE + number}" for number in range(3)
        ]
        assert verifier.remembered.get(shown[1]) is None
        assert len(verifier.remembered) == len(shown) - 1

    async def test_those_of_a_lot_are_told_in_a_turn_of_its_own(self, keys) -> None:
        """Which begins when all of them were looked at (ADR 35)."""
        verifier, said = VerifierBetweenTurns(ISSUER), []

        class PuttingOff(Asking):
            def settled(self, about, outcome) -> None:
                assert turn.is_under_way
                turn.put_off(lambda: self.said.append("over"))
                super().settled(about, "told")

        burst = Burst(verifier, Counters())
        for number in range(MAX_AT_ONCE + 2):
            shown = token(f"jti-{number}")
            burst.add([(PuttingOff(said), None, shown, verifier.read(shown, keys))])
        await asyncio.sleep(0)
        assert said == MAX_AT_ONCE * ["told"] + MAX_AT_ONCE * ["over"]
        assert not turn.is_under_way
        await asyncio.sleep(0)
        assert said[2 * MAX_AT_ONCE :] == 2 * ["told"] + 2 * ["over"]
        assert verifier.verified == MAX_AT_ONCE + 2

    @pytest.mark.parametrize("passes", ["admitted", "open"])
    async def test_more_at_once_where_nothing_has_passed_for_long(
        self, keys, monkeypatch, passes
    ) -> None:
        monkeypatch.setattr(verification, "LOTS_ALONE", 3)
        verifier, said, lots = VerifierBetweenTurns(ISSUER), [], []
        counters = Counters()
        burst = Burst(verifier, counters)
        shown = token("jti-1")
        read = verifier.read(shown, keys)
        burst.add(500 * [(Asking(said), None, shown, read)])
        for at in range(8):
            if at == 4:
                setattr(counters, passes, 1)
            before = verifier.verified
            await asyncio.sleep(0)
            lots.append(verifier.verified - before)
        few, many = MAX_AT_ONCE, MAX_ALONE
        assert lots == [few, few, many, many, few, few, few, many]
        assert len(said) == verifier.verified

    async def test_a_fault_is_told_to_the_one_whose_it_is(self, keys) -> None:
        verifier, said = Verifier(ISSUER), []
        good, other = token("jti-1"), token("jti-2")
        settle_each = verifier.settle_each

        def failing(lot):
            if good in [shown for shown, _ in lot]:
                raise RuntimeError
            return settle_each(lot)

        verifier.settle_each = failing
        burst = Burst(verifier, Counters())
        for each in (good, other):
            burst.add([(Asking(said), None, each, verifier.read(each, keys))])
        await asyncio.sleep(0)
        assert isinstance(said[0], RuntimeError)
        assert said[1].jti == "jti-2"


class TestSigningKeys:
    def test_they_are_those_of_the_log_as_it_grows(self, logs, keys) -> None:
        assert list(keys) == [KEY.kid]
        assert OTHER.kid not in keys
        logs.signing_key(OTHER.kid, alg=OTHER.public.alg.value, pem=OTHER.public.pem)
        assert set(keys) == {KEY.kid, OTHER.kid}
        assert len(keys) == 2
        assert keys[OTHER.kid].kid == OTHER.kid

    def test_a_rebuilt_log_is_believed_over_what_was_parsed(self, logs, keys) -> None:
        assert keys.get(KEY.kid) is not None
        logs.tokens = type(logs.tokens)()
        assert keys.get(KEY.kid) is None
