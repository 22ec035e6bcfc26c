"""One spelling, one key, one algorithm."""

import json
import string
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import assume, event, example, given, settings
from hypothesis import strategies as st

from tollgate.oauth import base64url, jws
from tollgate.oauth.algorithms import Algorithm, der_of
from tollgate.oauth.base64url import NotBase64Url
from tollgate.oauth.jws import (
    MAX_LENGTH,
    BadSignature,
    JwsRefused,
    MalformedJws,
    decode,
    read_header,
    sign,
    verify,
)
from tollgate.strict_json import is_plain
from tollgate.testing.keys import signing_key
from tollgate.testing.tokens import compact, signed

KEY = signing_key()
TOKEN = sign(KEY, b'{"sub":"app_1"}', typ="JWT")
HEADER = {"alg": "ES256", "kid": KEY.kid}
EDGES = [edge + step for edge in (0, 128, 256, 2**248, 2**255) for step in (-1, 0, 1)][
    1:
]


def accepted(token: str | bytes) -> bool:
    try:
        verify(decode(token), KEY.public)
    except JwsRefused:
        return False
    return True


def with_header(header: bytes | dict[str, object]) -> str:
    return compact(header, b"{}", KEY.sign)


class TestDecode:
    def test_a_token_comes_apart(self) -> None:
        token = decode(TOKEN)
        assert (token.header.alg, token.header.kid, token.header.typ) == (
            "ES256",
            KEY.kid,
            "JWT",
        )
        assert token.payload == b'{"sub":"app_1"}'
        assert token.signing_input == TOKEN.rpartition(".")[0].encode()
        assert decode(TOKEN.encode()) == token

    @pytest.mark.parametrize(
        "broken",
        [
            lambda token: "",
            lambda token: ".",
            lambda token: "..",
            lambda token: "...",
            lambda token: token + ".",
            lambda token: "." + token,
            lambda token: token + "." + token,
            lambda token: token.rpartition(".")[0],
            lambda token: token.rpartition(".")[0] + ".",
            lambda token: "." + token.partition(".")[2],
            lambda token: token.replace(".", ",", 1),
            lambda token: token + "=",
            lambda token: token + "==",
            lambda token: token + "\n",
            lambda token: " " + token,
            lambda token: token.replace(".", " .", 1),
            lambda token: token[:9] + "\r\n" + token[9:],
            lambda token: token[:9] + "é" + token[9:],
            lambda token: token[:9] + "\ud800" + token[9:],
            lambda token: token[:9] + "\0" + token[9:],
            lambda token: json.dumps({"payload": "e30", "signatures": []}),
        ],
    )
    def test_what_has_not_the_compact_form_is_malformed(
        self, broken: Callable[[str], str]
    ) -> None:
        with pytest.raises(MalformedJws):
            decode(broken(TOKEN))

    def test_the_alphabet_is_that_of_base64url(self) -> None:
        token = next(t for t in tokens() if "-" in t.rpartition(".")[2])
        assert not accepted(token.replace("-", "+"))
        token = next(t for t in tokens() if "_" in t.rpartition(".")[2])
        assert not accepted(token.replace("_", "/"))

    def test_an_oversize_token_is_not_looked_at(self) -> None:
        assert decode(signed(KEY, b"x" * 5000)).payload == b"x" * 5000
        with pytest.raises(MalformedJws, match="too long"):
            decode("x" * (MAX_LENGTH + 1))

    @pytest.mark.parametrize(
        "header",
        [
            b"",
            b"null",
            b"[]",
            b'"ES256"',
            b"{}",
            b'{"alg": "ES256"',
            b'\xef\xbb\xbf{"alg": "ES256"}',
            b'{"alg": "ES256", "x": "\xff"}',
            b'{"alg": "ES256", "alg": "none"}',
            b'{"alg": "ES256", "x": 1, "x": 1}',
            b'{"alg": "ES256", "x": {"y": 1, "y": 2}}',
            b'{"alg": "ES256", "\\u0061lg": "ES256"}',
            b'{"alg": "ES256", "x": NaN}',
            b'{"alg": "ES256", "x": ' + b"[" * 2000,
            b'{"alg": "ES256"} {}',
            b"{'alg': 'ES256'}",
        ],
    )
    def test_a_header_that_is_not_one_json_object_is_malformed(
        self, header: bytes
    ) -> None:
        with pytest.raises(MalformedJws):
            decode(with_header(header))

    @pytest.mark.parametrize(
        "members",
        [
            {"alg": None},
            {"alg": 256},
            {"alg": ""},
            {"kid": None},
            {"kid": 7},
            {"kid": ["k"]},
            {"kid": ""},
            {"kid": "a\0"},
            {"kid": "\ud800"},
            {"kid": "k" * 256},
            {"typ": 1},
            {"typ": None},
            {"crit": ["exp"]},
            {"crit": []},
            {"crit": None},
            {"crit": "b64"},
            {"b64": False},
            {"b64": True},
            {"zip": "DEF"},
            {"zip": None},
        ],
    )
    def test_a_header_member_of_the_wrong_kind_is_malformed(
        self, members: dict[str, object]
    ) -> None:
        assert accepted(with_header(HEADER))
        with pytest.raises(MalformedJws):
            decode(with_header(json.dumps(HEADER | members).encode()))

    def test_unknown_members_are_ignored(self) -> None:
        assert accepted(with_header(HEADER | {"cty": "JWT", "x": {"y": [1, 2.5]}}))

    def test_whitespace_inside_the_header_is_part_of_it(self) -> None:
        assert accepted(with_header(b' {\n"alg" :\t"ES256" } '))

    @given(st.binary(max_size=80) | st.text(max_size=80))
    @example(b"e30.e30.e30")
    @example("é..")
    def test_anything_at_all_is_a_token_or_malformed(
        self, rubbish: bytes | str
    ) -> None:
        with suppress(MalformedJws):
            decode(rubbish)

    @given(st.lists(st.binary(max_size=40), min_size=3, max_size=3))
    def test_any_octets_in_three_parts_are_a_token_or_malformed(
        self, parts: list[bytes]
    ) -> None:
        with suppress(MalformedJws):
            decode(".".join(map(base64url.encode, parts)))


def tokens() -> list[str]:
    return [sign(KEY, str(n).encode(), typ="JWT") for n in range(60)]


MEMBERS = st.lists(
    st.tuples(
        st.sampled_from(['"alg"', '"kid"', '"typ"', '"crit"', '"x"', r'"k\u0069d"']),
        st.sampled_from(
            [
                *('"ES256"', '"k"', '"at+jwt"', '""', '"é"', r'"\u006b"', r'"\ud800"'),
                *(
                    "9" * 30,
                    "9" * 5000,
                    "1",
                    "1.0",
                    "1e2",
                    "-0",
                    "NaN",
                    "null",
                    "[]",
                    '{"y":1}',
                ),
                *('{"y":1,"y":1}', '[{"y":[1,2]}]', '"\\u0000"'),
            ]
        ),
    ),
    max_size=5,
)
SPACES = st.sampled_from([(",", ":"), (", ", ": "), (",", " :")])


@st.composite
def header_texts(draw: st.DrawFn) -> bytes:
    comma, colon = draw(SPACES)
    members = [('"alg"', '"ES256"'), *draw(MEMBERS)]
    text = comma.join(f"{name}{colon}{value}" for name, value in members)
    end = draw(st.sampled_from([*4 * [b""], b" ", b"x", b"\xff"]))
    start = draw(st.sampled_from([*4 * [b""], b" ", b"\xef\xbb\xbf"]))
    return start + b"{" + text.encode() + b"}" + end


class TestHeader:
    @settings(max_examples=500)
    @given(header_texts())
    def test_a_plain_one_is_read_as_by_the_strict_reader(self, text: bytes) -> None:
        def read() -> object:
            try:
                return read_header.__wrapped__(base64url.encode_to_bytes(text))
            except MalformedJws:
                return "malformed"

        found = read()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jws, "is_plain", lambda _: False)
            assert read() == found
        event(f"plain: {jws.is_plain(text)}")

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (b'{"alg":"ES256","typ":"at+jwt","kid":"k"}', True),
            (b'{"kid":"k","alg":"ES256"}', True),
            (b'{"kid":"k","alg":"ES256","kid":"k"}', False),
            (b'{"x":{"y":1,"y":1}}', False),
            (b'{"x":"\\ud800"}', False),
            (b'{"x":"\xff"}', False),
            (b'{"a": 1}', False),
            (b"[" * 5000, False),
        ],
    )
    def test_what_is_plain(self, text: bytes, expected: bool) -> None:
        assert is_plain(text) is expected


class TestVerify:
    @pytest.mark.parametrize("alg", list(Algorithm))
    def test_every_algorithm_verifies_its_own(self, alg: Algorithm) -> None:
        key = signing_key(alg)
        token = sign(key, b"{}", typ="JWT")
        assert verify(decode(token), key.public) == b"{}"
        with pytest.raises(BadSignature):
            verify(decode(token), signing_key(alg, nth=1).public)

    @pytest.mark.parametrize("alg", list(Algorithm))
    @pytest.mark.parametrize(
        "claimed",
        ["none", "None", "", "HS256", "es256", "RS256", "PS256", "ES256", "RS512"],
    )
    def test_the_key_decides_on_the_algorithm(
        self, alg: Algorithm, claimed: str
    ) -> None:
        key = signing_key(alg)
        if claimed == alg.value:
            return
        with pytest.raises(JwsRefused):
            verify(decode(signed(key, b"{}", alg=claimed)), key.public)

    def test_ed25519_has_two_names(self) -> None:
        key = signing_key(Algorithm.EDDSA)
        for name in ("EdDSA", "Ed25519"):
            assert verify(decode(signed(key, b"{}", alg=name)), key.public) == b"{}"
        with pytest.raises(BadSignature):
            verify(decode(signed(key, b"{}", alg="Ed448")), key.public)

    def test_no_signature_is_no_signature(self) -> None:
        with pytest.raises(JwsRefused):
            decode(compact({"alg": "none"}, b"{}", lambda _: b""))
        with pytest.raises(BadSignature):
            verify(decode(compact(HEADER, b"{}", lambda _: b"\0")), KEY.public)

    def test_a_public_key_is_no_shared_secret(self) -> None:
        """RFC 8725 §2.1: the classic confusion of RS256 and HS256."""
        key = signing_key(Algorithm.RS256)
        forged = signed(KEY, b"{}", alg="HS256", kid=key.kid)
        with pytest.raises(BadSignature):
            verify(decode(forged), key.public)

    def test_a_key_inside_the_token_is_not_looked_at(self) -> None:
        attacker = signing_key(nth=1)
        embedded = {"jwk": dict(attacker.public.jwk), "jku": "https://evil.example/"}
        forged = compact(HEADER | embedded, b"{}", attacker.sign)
        with pytest.raises(BadSignature):
            verify(decode(forged), KEY.public)

    @pytest.mark.parametrize("alg", [Algorithm.ES256, Algorithm.ES384])
    def test_an_ecdsa_signature_has_exactly_its_length(self, alg: Algorithm) -> None:
        key = signing_key(alg)
        header = {"alg": alg.value}

        def shifted(message: bytes) -> bytes:
            signature = key.sign(message)
            half = len(signature) // 2
            return b"\0" + signature[:half] + b"\0" + signature[half:]

        def widened(message: bytes) -> bytes:
            """The same two numbers, the second with a leading zero."""
            signature = key.sign(message)
            half = len(signature) // 2
            return signature[:half] + b"\0" + signature[half:]

        for other in (
            lambda message: key.sign(message) + b"\0",
            lambda message: b"\0" + key.sign(message),
            lambda message: key.sign(message)[:-1],
            lambda message: b"\0" * len(key.sign(message)),
            lambda message: b"\xff" * len(key.sign(message)),
            shifted,
            widened,
        ):
            with pytest.raises(BadSignature):
                verify(decode(compact(header, b"{}", other)), key.public)

    @given(
        st.sampled_from([32, 48]).flatmap(
            lambda half: st.tuples(
                *2 * [st.integers(0, 2 ** (8 * half) - 1) | st.sampled_from(EDGES)],
                st.just(half),
            )
        )
    )
    def test_the_library_is_given_the_der_that_it_would_write(self, numbers) -> None:
        r, s, half = numbers
        signature = r.to_bytes(half) + s.to_bytes(half)
        assert der_of(signature, half) == encode_dss_signature(r, s)

    def test_der_is_no_jws_signature(self) -> None:
        private = KEY._private

        def der(message: bytes) -> bytes:
            return private.sign(message, ECDSA(SHA256()))

        with pytest.raises(BadSignature):
            verify(decode(compact(HEADER, b"{}", der)), KEY.public)

    @given(
        st.integers(0, len(TOKEN) - 1),
        st.sampled_from(string.printable + "\0\x7f\xe9"),
    )
    def test_a_token_with_another_character_is_refused(
        self, place: int, character: str
    ) -> None:
        assume(TOKEN[place] != character)
        assert accepted(TOKEN)
        assert not accepted(TOKEN[:place] + character + TOKEN[place + 1 :])

    @given(st.integers(0, len(TOKEN)), st.text(min_size=1, max_size=3))
    def test_a_token_with_something_put_in_is_refused(
        self, place: int, text: str
    ) -> None:
        assert not accepted(TOKEN[:place] + text + TOKEN[place:])

    @given(st.integers(0, len(TOKEN) - 1), st.integers(1, 4))
    def test_a_token_with_something_left_out_is_refused(
        self, place: int, size: int
    ) -> None:
        assert not accepted(TOKEN[:place] + TOKEN[place + size :])


class TestBase64Url:
    @given(st.binary(max_size=100))
    def test_what_was_encoded_is_decoded(self, octets: bytes) -> None:
        assert base64url.decode(base64url.encode(octets)) == octets

    @given(st.binary(max_size=100))
    def test_it_is_that_of_the_standard_library(self, octets: bytes) -> None:
        text = urlsafe_b64encode(octets).rstrip(b"=")
        assert base64url.encode_to_bytes(octets) == text
        assert base64url.decode(text.decode()) == octets

    @given(st.text(string.ascii_letters + string.digits + "-_", max_size=20))
    def test_no_two_texts_are_the_same_octets(self, text: str) -> None:
        try:
            octets = base64url.decode(text)
        except NotBase64Url:
            return
        assert base64url.encode(octets) == text

    @given(
        st.integers(1, 9).flatmap(
            lambda size: st.lists(
                st.text('AQgw_-.=+!"', min_size=size, max_size=size)
                | st.binary(max_size=7).map(base64url.encode).filter(bool),
                min_size=1,
                max_size=4,
            )
        )
    )
    @example(["AAA.AAA"])
    def test_many_are_read_as_each_is(self, texts: list[str]) -> None:
        """If they are as long as each other."""
        try:
            each = [base64url.decode(text) for text in texts]
        except NotBase64Url:
            each = None
        event(f"{len(texts)}, {'some are none' if each is None else 'good'}")
        together = base64url.decode_each([text.encode() for text in texts])
        assert together == (each if len({*map(len, texts)}) == 1 else None)

    @pytest.mark.parametrize(
        "text",
        [
            "A",
            "AB",
            "AAB",
            "AA=",
            "AA==",
            "+A",
            "/A",
            "A A",
            "AA\n",
            "ÄA",
            "A.A",
            "AAAA    ",
            "AA====AA",
            "AAAA\n\n\n\n",
            "AA++++AA",
            "AAAA....",
            '"',
            'AAAA"',
            '"AAA',
            "\\u0041A",
            "\\/\\/",
            "AAA\0",
        ],
    )
    def test_other_texts_are_refused(self, text: str) -> None:
        with pytest.raises(NotBase64Url):
            base64url.decode(text)
