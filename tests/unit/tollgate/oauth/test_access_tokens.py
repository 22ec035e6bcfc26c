"""What the gateway takes for a token of ours (RFC 9068 §4), and what it does not."""

import json
import string
from typing import Any

import jwt
import msgspec
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from tollgate.oauth import access_tokens, base64url
from tollgate.oauth.access_tokens import (
    MAX_BEGINNINGS,
    MAX_SIZES,
    Reader,
    TokenRefusal,
    VerifiedAccessToken,
    access_token_claims,
    mint_access_token,
    verify_access_token,
)
from tollgate.oauth.jws import MAX_LENGTH
from tollgate.strict_json import AmbiguousJson, refuse_ambiguous
from tollgate.testing.keys import signing_key
from tollgate.testing.tokens import compact, signed

KEY = signing_key()
ISSUER = "https://issuer.example"
TRACKING = "urn:tollgate:tracking-api"
NOW = 1_795_501_617

CLAIMS = access_token_claims(
    issuer=ISSUER,
    client_id="app_1",
    audiences=[TRACKING, "urn:tollgate:functions"],
    scopes=["tracking_api:write", "functions:write"],
    jti="jti-1",
    key="kid-1/2",
    rev=3,
    issued_at=NOW,
    lifetime=86_400,
)
TOKEN = mint_access_token(CLAIMS, KEY)


def judged(
    token: str | bytes, *, issuer: str = ISSUER, audience: str | None = TRACKING
) -> VerifiedAccessToken | TokenRefusal:
    return verify_access_token(
        token,
        keys={KEY.kid: KEY.public},
        issuer=issuer,
        audiences=None if audience is None else {audience},
    )


def token(claims: dict[str, Any] | bytes | None = None, **header: object) -> str:
    """A token with some claims changed (left out if None), signed by the issuer."""
    if not isinstance(claims, bytes):
        changed = {**msgspec.to_builtins(CLAIMS), **(claims or {})}
        present = {name: value for name, value in changed.items() if value is not None}
        claims = json.dumps(present).encode()
    return signed(KEY, claims, **{"typ": "at+jwt", **header})


def member(text: str) -> bytes:
    """The claims as JSON, with one more member written by hand."""
    return msgspec.json.encode(CLAIMS)[:-1] + b"," + text.encode() + b"}"


class TestGoodTokens:
    def test_what_was_minted_is_verified(self) -> None:
        assert judged(TOKEN) == VerifiedAccessToken(
            signing_kid=KEY.kid,
            client_id="app_1",
            jti="jti-1",
            audiences=frozenset({TRACKING, "urn:tollgate:functions"}),
            scopes=frozenset({"tracking_api:write", "functions:write"}),
            key="kid-1/2",
            rev=3,
            iat=NOW,
            exp=NOW + 86_400,
        )
        assert judged(TOKEN.encode()) == judged(TOKEN)

    def test_it_is_an_rfc_9068_token(self) -> None:
        assert jwt.get_unverified_header(TOKEN) == {
            "alg": "ES256",
            "kid": KEY.kid,
            "typ": "at+jwt",
        }
        claims = jwt.decode(TOKEN, options={"verify_signature": False})
        assert claims == {
            "iss": ISSUER,
            "sub": "app_1",
            "client_id": "app_1",
            "aud": [TRACKING, "urn:tollgate:functions"],
            "iat": NOW,
            "exp": NOW + 86_400,
            "jti": "jti-1",
            "scope": "functions:write tracking_api:write",
            "rev": 3,
            "key": "kid-1/2",
        }

    @pytest.mark.parametrize("typ", ["AT+JWT", "at+JWT", "application/AT+jwt"])
    def test_the_type_is_compared_without_case(self, typ: str) -> None:
        assert isinstance(judged(token(typ=typ)), VerifiedAccessToken)

    def test_unknown_claims_and_fractions_are_fine(self) -> None:
        changed = {"exp": NOW + 0.5, "iat": NOW + 0.25, "x": {"y": [1]}}
        verified = judged(token(changed))
        assert isinstance(verified, VerifiedAccessToken)
        assert (verified.iat, verified.exp) == (NOW + 0.25, NOW + 0.5)

    def test_an_audience_may_stand_alone(self) -> None:
        assert isinstance(judged(token({"aud": TRACKING})), VerifiedAccessToken)

    def test_the_issuer_looks_at_tokens_of_every_door(self) -> None:
        for aud in ("urn:elsewhere", ["urn:elsewhere", "urn:other"], []):
            verified = judged(token({"aud": aud}), audience=None)
            assert isinstance(verified, VerifiedAccessToken)


class TestRefusals:
    @pytest.mark.parametrize(
        ("refused", "reason"),
        [
            ("", TokenRefusal.MALFORMED),
            ("not.a.token", TokenRefusal.MALFORMED),
            (TOKEN + "=", TokenRefusal.MALFORMED),
            (token({"iss": "app_1"}) + ".AAAA", TokenRefusal.MALFORMED),
            (token(typ=None), TokenRefusal.WRONG_TYPE),
            (token(typ="JWT"), TokenRefusal.WRONG_TYPE),
            (token(typ="dpop+jwt"), TokenRefusal.WRONG_TYPE),
            (token(typ="text/at+jwt"), TokenRefusal.WRONG_TYPE),
            (token(typ=" at+jwt"), TokenRefusal.WRONG_TYPE),
            (token(kid=None), TokenRefusal.UNKNOWN_KEY),
            (token(kid="another"), TokenRefusal.UNKNOWN_KEY),
            (token(kid=KEY.kid.lower()), TokenRefusal.UNKNOWN_KEY),
            (token(alg="none"), TokenRefusal.BAD_SIGNATURE),
            (token(alg="RS256"), TokenRefusal.BAD_SIGNATURE),
            (token(alg="HS256"), TokenRefusal.BAD_SIGNATURE),
            (token({"iss": ISSUER + "/"}), TokenRefusal.WRONG_ISSUER),
            (token({"iss": "HTTPS://issuer.example"}), TokenRefusal.WRONG_ISSUER),
            (token({"iss": "app_1"}), TokenRefusal.WRONG_ISSUER),
            (token({"aud": ISSUER}), TokenRefusal.WRONG_AUDIENCE),
            (token({"aud": []}), TokenRefusal.WRONG_AUDIENCE),
            (token({"aud": TRACKING + "/"}), TokenRefusal.WRONG_AUDIENCE),
            (token({"aud": ["urn:tollgate:functions"]}), TokenRefusal.WRONG_AUDIENCE),
            (token({"cnf": {"jkt": "x"}}), TokenRefusal.SENDER_CONSTRAINED),
            (token({"cnf": {}}), TokenRefusal.SENDER_CONSTRAINED),
            (token(member('"cnf":null')), TokenRefusal.SENDER_CONSTRAINED),
            (token({"sub": "app_2"}), TokenRefusal.MALFORMED),
        ],
    )
    def test_each_doubt_has_its_reason(
        self, refused: str, reason: TokenRefusal
    ) -> None:
        assert judged(refused) is reason

    @pytest.mark.parametrize(
        "missing",
        ["iss", "sub", "client_id", "aud", "iat", "exp", "jti", "scope", "rev", "key"],
    )
    def test_every_claim_is_required(self, missing: str) -> None:
        assert judged(token({missing: None})) is TokenRefusal.MALFORMED

    @pytest.mark.parametrize("date", ["iat", "exp", "nbf"])
    @pytest.mark.parametrize(
        "text",
        [
            f'"{NOW}"',
            "true",
            "null",
            "NaN",
            "Infinity",
            "-Infinity",
            "-1",
            "1e400",
            "1e300",
            "253402300800",
            "9" * 30,
            "9" * 5000,
            "[1]",
            "{}",
            '""',
            "01",
            "0x10",
            "1_0",
        ],
    )
    def test_a_date_is_a_sensible_json_number(self, date: str, text: str) -> None:
        claims = msgspec.to_builtins(CLAIMS)
        claims.pop(date, None)
        document = json.dumps(claims)[:-1] + f', "{date}": {text}}}'
        assert judged(token(document.encode())) is TokenRefusal.MALFORMED

    @pytest.mark.parametrize("name", ["sub", "client_id", "jti"])
    @pytest.mark.parametrize("value", ["", "a\0b", "\ud800", "x" * 256, 7, None, ["a"]])
    def test_an_identifier_is_fit_to_be_stored(self, name: str, value: object) -> None:
        claims = msgspec.to_builtins(CLAIMS) | {name: value}
        if name != "jti":
            claims |= {"sub": value, "client_id": value}
        document = json.dumps(claims).encode()
        assert judged(token(document)) is TokenRefusal.MALFORMED

    @pytest.mark.parametrize(
        "changed",
        [
            {"aud": [TRACKING, 7]},
            {"aud": {TRACKING: 1}},
            {"scope": ""},
            {"scope": " tracking_api:write"},
            {"scope": "tracking_api:write  functions:write"},
            {"scope": ["tracking_api:write"]},
            {"rev": -1},
            {"rev": 1.5},
            {"rev": "3"},
            {"rev": True},
            {"key": "kid-1"},
            {"key": "kid-1/0"},
            {"key": "kid-1/02"},
            {"key": "/2"},
            {"key": "kid-1/2\n"},
            {"key": "kid/1/2"},
        ],
    )
    def test_a_claim_of_another_shape_is_malformed(
        self, changed: dict[str, object]
    ) -> None:
        assert judged(token(changed)) is TokenRefusal.MALFORMED

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"null",
            b"[]",
            b"7",
            b"\xff",
            b"\xef\xbb\xbf" + msgspec.json.encode(CLAIMS),
            msgspec.json.encode(CLAIMS) + b"{}",
            member('"jti":"jti-1"'),
            member('"\\u006ati":"jti-2"'),
            member('"x":1,"x":1'),
            member('"x":{"y":1,"y":1}'),
            member('"x":"\\ud800"'),
            member('"x":"@"').replace(b"@", b"\xff"),
            member('"x":' + "[" * 3000 + "]" * 3000),
        ],
    )
    def test_claims_that_two_readers_could_take_differently_are_malformed(
        self, payload: bytes
    ) -> None:
        assert judged(token(payload)) is TokenRefusal.MALFORMED

    def test_a_client_key_signs_no_access_token(self) -> None:
        client = signing_key(nth=1)
        assert judged(mint_access_token(CLAIMS, client)) is TokenRefusal.UNKNOWN_KEY
        forged = compact(
            {"alg": "ES256", "kid": KEY.kid, "typ": "at+jwt"},
            msgspec.json.encode(CLAIMS),
            client.sign,
        )
        assert judged(forged) is TokenRefusal.BAD_SIGNATURE

    def test_a_token_of_another_issuer_is_refused(self) -> None:
        elsewhere = "https://elsewhere.example"
        assert judged(TOKEN, issuer=elsewhere) is TokenRefusal.WRONG_ISSUER

    @given(
        st.integers(0, len(TOKEN) - 1),
        st.sampled_from(string.ascii_letters + string.digits + "-_.=+/ "),
    )
    def test_a_token_of_another_spelling_is_refused(
        self, place: int, character: str
    ) -> None:
        assume(TOKEN[place] != character)
        spelt = TOKEN[:place] + character + TOKEN[place + 1 :]
        assert isinstance(judged(spelt), TokenRefusal)

    @given(
        st.dictionaries(
            st.sampled_from(list(msgspec.to_builtins(CLAIMS))),
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(max_size=5)
            | st.lists(st.integers() | st.text(max_size=2), max_size=2),
        )
    )
    def test_no_claims_raise(self, changed: dict[str, object]) -> None:
        assert judged(token(json.dumps(changed).encode())) is not None
        assert judged(token(changed)) is not None


# --- Tokens that begin as others did ---

PLAIN = st.text(st.sampled_from(string.ascii_letters + ":/.- "), max_size=12)
ISSUERS = st.sampled_from(
    [ISSUER, *(ISSUER[:-cut] for cut in range(1, 5)), ISSUER + "/", r"\u0061", "ä", ""]
)
AUDIENCES = st.sampled_from(
    [TRACKING, *(TRACKING[:-cut] for cut in range(1, 5)), TRACKING + "/", r"\u0061"]
)
ENDINGS = st.sampled_from(
    [
        f',"exp":{NOW}}}',
        f',"exp":{NOW},"iss":"{ISSUER}"}}',
        f',"exp":{NOW},"iss":"https://elsewhere.example"}}',
        f',"exp":{NOW},"aud":"urn:elsewhere"}}',
        f',"exp":{NOW},"x":"\\ud800"}}',
        "}",
        "x",
        "",
    ]
)


@st.composite
def written_claims(draw: st.DrawFn) -> bytes:
    """Nearly as our issuer writes them."""
    iss = f'"iss":"{draw(ISSUERS)}"'
    names = [f'"{name}"' for name in draw(st.lists(AUDIENCES, max_size=2))]
    aud = draw(st.sampled_from([f"[{','.join(names)}]", *names, "[7]"]))
    client = draw(PLAIN)
    rest = f'"sub":"{client}","client_id":"{client}","aud":{aud}'
    usual = f"{{{iss},{rest}"
    odd = [f"{{{iss}", f"{{{rest},{iss}", f" {{{iss},{rest}", f"{{{iss},{iss},{rest}"]
    return (draw(st.sampled_from([*4 * [usual], *odd])) + draw(ENDINGS)).encode()


@st.composite
def unsigned_tokens(draw: st.DrawFn) -> bytes:
    """Perhaps cut off, or not in base64url."""
    claims = base64url.encode(draw(written_claims()))
    claims = claims[: draw(st.integers(0, len(claims)) | st.just(len(claims)))]
    claims += draw(st.sampled_from([*4 * [""], "=", "!", "A", "B", "."]))
    head, _, signature = TOKEN.split(".")
    return f"{head}.{claims}.{signature}".encode()


class ReaderOfAll(Reader):
    """Goes by all that the claims say."""

    def _rule_out(self, head: bytes, body: bytes) -> None:
        """Nothing by their beginning."""


def read(token: bytes, reader: Reader) -> object:
    return reader.read(token, {KEY.kid: KEY.public})


def names_a_member_twice(token: bytes) -> bool:
    _, claims, _ = token.decode().split(".")
    try:
        refuse_ambiguous(base64url.decode(claims))
    except AmbiguousJson:
        return True
    return False


class TestBeginnings:
    @settings(max_examples=300)
    @given(st.lists(unsigned_tokens(), min_size=1, max_size=MAX_SIZES + 2))
    def test_what_was_seen_before_makes_no_difference(self, tokens) -> None:
        seasoned = Reader(ISSUER, {TRACKING})
        for each in 2 * tokens:
            found = read(each, Reader(ISSUER, {TRACKING}))
            event(str(found) if isinstance(found, TokenRefusal) else "nothing wrong")
            assert read(each, seasoned) == found

    @settings(max_examples=300)
    @given(unsigned_tokens(), st.sampled_from([{TRACKING}, None]))
    def test_what_is_said_first_only_comes_before_what_is_malformed(
        self, token, audiences
    ) -> None:
        found = read(token, Reader(ISSUER, audiences))
        of_all = read(token, ReaderOfAll(ISSUER, audiences))
        if found != of_all:
            assert of_all is TokenRefusal.MALFORMED or names_a_member_twice(token)
            assert found in {TokenRefusal.WRONG_ISSUER, TokenRefusal.WRONG_AUDIENCE}

    @pytest.mark.parametrize("audiences", [{TRACKING}, None])
    def test_what_comes_after_the_no_is_not_read(self, audiences) -> None:
        head, _, signature = TOKEN.split(".")
        beginning = base64url.encode(b'{"iss":"https://e.example",')
        spoilt = f"{head}.{beginning}!.{signature}".encode()
        refusal = read(spoilt, Reader(ISSUER, audiences))
        assert refusal is TokenRefusal.WRONG_ISSUER
        assert read(spoilt, ReaderOfAll(ISSUER, audiences)) is TokenRefusal.MALFORMED

    @pytest.mark.parametrize("claims", [{"iss": "https://e.example"}, {"aud": "urn:e"}])
    @pytest.mark.parametrize(
        "behind",
        [
            *("", ".", "!", "AAAA", "AAAA.", ".A", ".=", "A.A", ".A.", ".A.A", "..A"),
            "." + MAX_LENGTH * "A",
            MAX_LENGTH * "A" + ".A",
        ],
    )
    @pytest.mark.parametrize("keys", [{KEY.kid: KEY.public}, {}])
    def test_whatever_follows_what_was_refused_before(
        self, claims, behind, keys
    ) -> None:
        usual = msgspec.to_builtins(CLAIMS) | claims
        refused = signed(KEY, msgspec.json.encode(usual), typ="at+jwt").encode()
        seasoned = Reader(ISSUER, {TRACKING})
        for _ in range(2):
            refusal = read(refused, seasoned)
        assert refused.startswith(seasoned.refused)
        assert seasoned.refused.count(b".") == 1
        assert refusal in {TokenRefusal.WRONG_ISSUER, TokenRefusal.WRONG_AUDIENCE}
        assert read(refused, seasoned) is refusal
        for each in (refused + behind.encode(), seasoned.refused + behind.encode()):
            found = Reader(ISSUER, {TRACKING}).read(each, keys)
            assert seasoned.read(each, keys) is found
        header = base64url.encode(b'{"alg":"ES256","kid":"other","typ":"at+jwt"}')
        other = header.encode() + refused[refused.index(b".") :]
        assert seasoned.read(other, keys) is TokenRefusal.UNKNOWN_KEY

    def test_there_is_an_end_to_what_is_remembered(self) -> None:
        reader = Reader(ISSUER, {TRACKING})
        for number in range(2 * MAX_BEGINNINGS):
            shown = token({"iss": f"https://{number % 7 * 'x'}{number:04}.example"})
            assert read(shown.encode(), reader) is TokenRefusal.WRONG_ISSUER
            assert len(reader.remembered) <= MAX_BEGINNINGS
            assert len({len(each) for each in reader.remembered}) <= MAX_SIZES


EXP = NOW + 86_400
CLAIMS_TEXTS = st.sampled_from(
    [
        base64url.encode(text)
        for text in (
            msgspec.json.encode(CLAIMS),
            msgspec.json.encode(msgspec.structs.replace(CLAIMS, exp=EXP + 100)),
            msgspec.json.encode(
                msgspec.structs.replace(CLAIMS, iss="https://e.example")
            ),
            msgspec.json.encode(msgspec.structs.replace(CLAIMS, aud="urn:elsewhere")),
            b"{}",
            b"",
        )
    ]
)
HEADS = st.sampled_from(
    [
        *4 * [TOKEN.partition(".")[0]],
        *(
            base64url.encode(json.dumps(header).encode())
            for header in (
                {"alg": "RS256", "kid": KEY.kid, "typ": "at+jwt"},
                {"alg": "ES256", "kid": "another", "typ": "at+jwt"},
                {"alg": "ES256", "kid": KEY.kid, "typ": "jwt"},
            )
        ),
    ]
)
SIGNATURES = st.sampled_from(
    [
        *2 * [TOKEN.rpartition(".")[2]],
        *(86 * "A", 85 * "A" + "B", 42 * "A" + "." + 43 * "A", 85 * "A" + "="),
        *(4 * "A", "A", "", "AA.AA", "=", MAX_LENGTH * "A"),
    ]
)
MOMENTS = st.sampled_from([NOW, EXP + 29.9, EXP + 30, EXP + 130])


class TestClaimsThatComeAgain:
    @settings(max_examples=300)
    @given(
        st.lists(st.tuples(HEADS, CLAIMS_TEXTS, SIGNATURES, MOMENTS), max_size=8),
        st.sampled_from([{TRACKING}, None]),
    )
    def test_they_are_judged_as_if_they_were_new(self, shown, audiences) -> None:
        seasoned = Reader(ISSUER, audiences)
        keys = {KEY.kid: KEY.public}
        for head, claims, signature, moment in shown:
            each = f"{head}.{claims}.{signature}".encode()
            found = Reader(ISSUER, audiences).read(each, keys, lambda at=moment: at)
            event(str(found) if isinstance(found, TokenRefusal) else "nothing wrong")
            assert seasoned.read(each, keys, lambda at=moment: at) == found

    @pytest.mark.parametrize(
        "signature", ["", "=", "A", "AA.AA", ".", MAX_LENGTH * "A", 4 * "A", 86 * "B"]
    )
    @pytest.mark.parametrize("moment", [NOW, EXP + 30])
    @pytest.mark.parametrize("keys", [{KEY.kid: KEY.public}, {}])
    def test_so_is_a_signature_behind_them(self, signature, moment, keys) -> None:
        seasoned = Reader(ISSUER, {TRACKING})
        assert not isinstance(read(TOKEN.encode(), seasoned), TokenRefusal)
        shown = f"{TOKEN.rpartition('.')[0]}.{signature}".encode()
        assert shown.startswith(seasoned.start)
        found = seasoned.read(shown, keys, lambda: moment)
        assert found == Reader(ISSUER, {TRACKING}).read(shown, keys, lambda: moment)

    @settings(max_examples=200)
    @given(st.lists(SIGNATURES, min_size=1, max_size=4), MOMENTS, st.booleans())
    def test_so_are_several_signatures(self, signatures, moment, is_known) -> None:
        """If nothing is wrong with any, and they are as long as each other."""
        seasoned = Reader(ISSUER, {TRACKING})
        assert not isinstance(read(TOKEN.encode(), seasoned), TokenRefusal)
        keys = {KEY.kid: KEY.public} if is_known else {}
        start = TOKEN.rpartition(".")[0]
        shown = [f"{start}.{signature}".encode() for signature in signatures]
        found = [
            Reader(ISSUER, {TRACKING}).read(each, keys, lambda: moment)
            for each in shown
        ]
        is_one = len({*map(len, signatures)}) == 1
        is_good = is_one and not any(isinstance(each, TokenRefusal) for each in found)
        event("good" if is_good else "not in one go")
        together = seasoned.read_together(shown, keys, lambda: moment)
        assert together == (found if is_good else None)

    def test_those_of_other_claims_do_not_change_them(self) -> None:
        reader = Reader(ISSUER, {TRACKING})
        assert not isinstance(read(TOKEN.encode(), reader), TokenRefusal)
        start = reader.start
        for claims in ({"exp": NOW}, {"exp": EXP + 100}):
            other = token(claims).rpartition(".")[0]
            assert reader.read(f"{other}.A".encode(), {KEY.kid: KEY.public}) is not None
            assert reader.start == start
        for at, end in ((EXP + 29.9, False), (EXP + 30, True)):
            found = reader.read(TOKEN.encode(), {KEY.kid: KEY.public}, lambda at=at: at)
            assert (found is TokenRefusal.EXPIRED) is end

    def test_claims_that_came_behind_a_bad_signature_are_none_of_its(self) -> None:
        reader = Reader(ISSUER, {TRACKING})
        assert not isinstance(read(TOKEN.encode(), reader), TokenRefusal)
        longer = token({"exp": EXP + 100}).rpartition(".")[0]
        assert read(f"{longer}.A".encode(), reader) is TokenRefusal.MALFORMED
        at = EXP + 60
        keys = {KEY.kid: KEY.public}
        assert reader.read(TOKEN.encode(), keys, lambda: at) is TokenRefusal.EXPIRED

    def test_a_key_that_is_gone_is_unknown_all_the_same(self) -> None:
        reader = Reader(ISSUER, {TRACKING})
        assert not isinstance(read(TOKEN.encode(), reader), TokenRefusal)
        assert reader.read(TOKEN.encode(), {}) is TokenRefusal.UNKNOWN_KEY

    def test_they_are_decoded_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reader, others = Reader(ISSUER, {TRACKING}), TOKEN[:-86]
        decoded = []
        words = access_tokens.decode_access_token_words
        monkeypatch.setattr(
            access_tokens,
            "decode_access_token_words",
            lambda payload: decoded.append(payload) or words(payload),
        )
        for signature in (86 * "A", 85 * "B" + "A", TOKEN[-86:]):
            found = read((others + signature).encode(), reader)
            assert found.signature == base64url.decode(signature)
        assert len(decoded) == 1


class TestTime:
    verified = judged(TOKEN)
    assert isinstance(verified, VerifiedAccessToken)

    @pytest.mark.parametrize(
        ("now", "refusal"),
        [
            (NOW - 10_000, None),
            (NOW, None),
            (NOW + 86_400, None),
            (NOW + 86_429.9, None),
            (NOW + 86_430, TokenRefusal.EXPIRED),
            (NOW + 1e9, TokenRefusal.EXPIRED),
        ],
    )
    def test_it_expires_thirty_seconds_late(
        self, now: float, refusal: TokenRefusal | None
    ) -> None:
        assert self.verified.refusal_at(now) is refusal

    def test_the_leeway_can_be_taken_away(self) -> None:
        assert self.verified.refusal_at(NOW + 86_399.9, leeway=0) is None
        assert self.verified.refusal_at(NOW + 86_400, leeway=0) is TokenRefusal.EXPIRED

    def test_not_before_is_honoured(self) -> None:
        later = judged(token({"nbf": NOW + 100}))
        assert isinstance(later, VerifiedAccessToken)
        assert later.refusal_at(NOW + 69.9) is TokenRefusal.NOT_YET_VALID
        assert later.refusal_at(NOW + 70) is None
