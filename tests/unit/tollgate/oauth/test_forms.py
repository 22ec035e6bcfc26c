"""Form bodies as clients build them, by hand and by library."""

from collections.abc import Callable, Mapping
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.oauth.client_assertion import CLIENT_ASSERTION_TYPE
from tollgate.oauth.errors import InvalidRequest, OAuthError
from tollgate.oauth.forms import (
    _AROUND,
    _FAMILIAR,
    MAX_LENGTH,
    PARAMETERS,
    _parse_fields,
    parse_form,
)

PIECES = [
    b"a",
    b".",
    b"+",
    b"%41",
    b"%",
    b"%00",
    b"\0",
    b"&",
    b"=",
    b"scope=x",
    b"\xff",
]
FORM = "application/x-www-form-urlencoded"


def parsed(body: bytes) -> dict[str, str]:
    return dict(parse_form(body, FORM))


class TestWhatClientsSend:
    def test_the_sdks_leave_colons_and_spaces_as_they_are(self) -> None:
        body = (
            b"grant_type=client_credentials&client_assertion_type=urn:ietf:params:"
            b"oauth:client-assertion-type:jwt-bearer&client_assertion=a.b-_.c"
            b"&scope=tracking_api:write functions:write"
        )
        assert parsed(body) == {
            "grant_type": "client_credentials",
            "client_assertion_type": (
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            ),
            "client_assertion": "a.b-_.c",
            "scope": "tracking_api:write functions:write",
        }

    @pytest.mark.parametrize("space", [b" ", b"+", b"%20"])
    def test_a_space_has_three_spellings(self, space: bytes) -> None:
        assert parsed(b"scope=a" + space + b"b") == {"scope": "a b"}

    def test_names_are_decoded_too(self) -> None:
        assert parsed(b"gr%61nt_type=x&%73cope=y") == {"grant_type": "x", "scope": "y"}

    @given(st.dictionaries(st.sampled_from(sorted(PARAMETERS)), st.text(min_size=1)))
    def test_what_a_library_encodes_is_read_back(self, fields: dict[str, str]) -> None:
        fields = {n: v for n, v in fields.items() if "\0" not in v}
        assert parsed(urlencode(fields).encode()) == fields

    def test_a_value_may_hold_an_equals_sign(self) -> None:
        assert parsed(b"token=a=b==") == {"token": "a=b=="}

    @pytest.mark.parametrize("field", sorted(_FAMILIAR))
    def test_what_is_familiar_is_what_it_reads_as(self, field: bytes) -> None:
        """Spelled so that no field of it is familiar, the same is read."""
        name, _, value = field.partition(b"=")
        strange = b"%%%02x%b=%b" % (name[0], name[1:], value)
        assert parsed(field) == parsed(strange)
        assert len(parsed(field)) == 1

    @given(
        around=st.sampled_from([*_AROUND, (b"scope=x", b""), (b"", b"x=y")]),
        assertion=st.one_of(
            st.from_regex(rb"[A-Za-z0-9._-]*", fullmatch=True),
            st.lists(st.sampled_from(PIECES)).map(b"".join),
            st.binary(max_size=9),
        ),
        cut=st.sampled_from([None, None, None, -1, 7, 90]),
    )
    def test_a_familiar_form_is_what_its_fields_say(
        self, around: tuple[bytes, bytes], assertion: bytes, cut: int | None
    ) -> None:
        before, after = around
        body = b"%b&client_assertion=%b&%b" % (before, assertion, after)
        for each in (body[:cut], body.removesuffix(b"&")[:cut], body + b"&" + body):
            assert outcome_of(lambda b=each: parse_form(b, FORM)) == outcome_of(
                lambda b=each: _parse_fields(b)
            )

    def test_a_form_of_the_sdks_is_familiar(self) -> None:
        """Else it would be read as its fields, and the two be alike for that."""
        kind = f"client_assertion_type={CLIENT_ASSERTION_TYPE}"
        assert (
            f"grant_type=client_credentials&{kind}".encode(),
            b"scope=tracking_api:write",
        ) in _AROUND


def outcome_of(read: Callable[[], Mapping[str, str]]) -> object:
    try:
        return read()
    except OAuthError as refusal:
        return type(refusal), refusal.description


class TestOmission:
    def test_a_parameter_without_a_value_is_omitted(self) -> None:
        assert parsed(b"scope=&client_id&grant_type=x&&=&") == {"grant_type": "x"}

    def test_unknown_parameters_are_ignored_however_often_they_come(self) -> None:
        assert parsed(b"audience=x&audience=y&scope=z&x=%zz&y=%ff") == {"scope": "z"}

    def test_an_empty_body_has_no_parameters(self) -> None:
        assert parsed(b"") == {}


class TestRefusals:
    @pytest.mark.parametrize("name", sorted(PARAMETERS))
    def test_a_known_parameter_is_sent_once(self, name: str) -> None:
        for body in (f"{name}=a&{name}=a", f"{name}=&{name}=a", f"{name}=a&{name}"):
            with pytest.raises(InvalidRequest, match="more than once"):
                parsed(body.encode())
        with pytest.raises(InvalidRequest, match="more than once"):
            parsed(f"{name}=a&%{ord(name[0]):02x}{name[1:]}=b".encode())

    @pytest.mark.parametrize(
        "body",
        [
            b"scope=%",
            b"scope=%4",
            b"scope=%zz",
            b"scope=%+1",
            b"scope=%4g",
            b"scope=%ff",
            b"scope=\xff",
            b"scope=%c3",
            b"scope=%ed%a0%80",
            b"scope=%c0%80",
            b"scope=%00",
            b"scope=a\0b",
            b"sc\0pe=a",
            b"%ff=a",
            b"%=a",
        ],
    )
    def test_what_cannot_be_decoded_is_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidRequest) as refusal:
            parsed(body)
        assert refusal.value.status == 400

    def test_an_oversize_body_is_refused(self) -> None:
        with pytest.raises(InvalidRequest) as refusal:
            parsed(b"x=" + b"a" * MAX_LENGTH)
        assert refusal.value.status == 413

    def test_a_thousand_parameters_are_refused(self) -> None:
        with pytest.raises(InvalidRequest):
            parsed(b"&".join([b"x=1"] * 1000))

    @pytest.mark.parametrize(
        "content_type",
        [
            None,
            "",
            "application/json",
            "multipart/form-data; boundary=x",
            "text/plain",
            "application/x-www-form-urlencodedx",
            "application/x-www-form-urlencoded; charset=iso-8859-1",
            "application/x-www-form-urlencoded; charset=utf-8; x=y",
            "application/x-www-form-urlencoded, application/json",
            "application/x-www-form-urlencoded\n",
        ],
    )
    def test_other_media_types_are_refused(self, content_type: str | None) -> None:
        with pytest.raises(InvalidRequest) as refusal:
            parse_form(b"scope=a", content_type)
        assert refusal.value.status == 415

    @pytest.mark.parametrize(
        "content_type",
        [
            FORM,
            "Application/X-WWW-Form-URLEncoded",
            "application/x-www-form-urlencoded;charset=UTF-8",
            'application/x-www-form-urlencoded ; charset="utf-8" ',
        ],
    )
    def test_the_media_type_may_name_utf_8(self, content_type: str) -> None:
        assert parse_form(b"scope=a", content_type) == {"scope": "a"}

    @given(st.binary(max_size=100))
    def test_any_octets_are_a_form_or_refused(self, body: bytes) -> None:
        try:
            fields = parsed(b"scope=" + body)
        except OAuthError:
            return
        assert "\0" not in fields.get("scope", "")
