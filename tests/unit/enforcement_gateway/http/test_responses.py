"""Answers as clients read them: status, challenge, body (RFC 6750 §3, WIRE 4.3)."""

import email.utils
import json
import re

import pytest

from enforcement_gateway.domain.denials import DENIALS, Reason
from enforcement_gateway.http.responses import EMPTY_GIF, Dates, denial, options

SCOPE = "tracking_api:write"


class Answer:
    def __init__(self, octets: bytes) -> None:
        head, _, self.body = octets.partition(b"\r\n\r\n")
        line, *fields = head.decode("ascii").split("\r\n")
        self.status = int(line.split(" ", 2)[1])
        self.fields = [tuple(field.split(": ", 1)) for field in fields]

    def all(self, name: str) -> list[str]:
        return [value for other, value in self.fields if other == name]

    def __getitem__(self, name: str) -> str:
        (value,) = self.all(name)
        return value

    @property
    def challenge(self) -> dict[str, str]:
        scheme, _, parameters = self["WWW-Authenticate"].partition(" ")
        assert scheme == "Bearer"
        found = re.findall(r'([a-z_]+)="([^"\\]*)"(?:, |$)', parameters)
        assert ", ".join(f'{name}="{value}"' for name, value in found) == parameters
        assert len(dict(found)) == len(found)
        return dict(found)


def answer(reason: Reason, **arguments: object) -> Answer:
    defaults = {"request_id": b"request-1", "scope": SCOPE}
    return Answer(denial(reason, **{**defaults, **arguments}))


class TestChallenges:
    @pytest.mark.parametrize(
        "reason",
        [Reason.TOKEN_MISSING, Reason.WRITE_KEY_UNKNOWN, Reason.WRITE_KEY_MISSING],
    )
    def test_without_a_token_there_is_no_error_in_it(self, reason: Reason) -> None:
        assert answer(reason).status == 401
        assert answer(reason).challenge == {"realm": "tollgate"}

    @pytest.mark.parametrize(
        "reason",
        [
            Reason.TOKEN_MALFORMED,
            Reason.TOKEN_SIGNATURE_WRONG,
            Reason.TOKEN_EXPIRED,
            Reason.TOKEN_REVOKED,
            Reason.APP_DELETED,
        ],
    )
    def test_a_bad_token_is_an_invalid_one(self, reason: Reason) -> None:
        challenge = answer(reason).challenge
        assert answer(reason).status == 401
        assert challenge["error"] == "invalid_token"
        assert challenge["error_description"] == DENIALS[reason].message
        assert "scope" not in challenge

    @pytest.mark.parametrize("reason", [Reason.SCOPE_MISSING, Reason.SCOPE_WITHDRAWN])
    def test_the_scope_is_named_where_it_is_what_lacks(self, reason: Reason) -> None:
        assert answer(reason).status == 403
        challenge = answer(reason).challenge
        assert (challenge["error"], challenge["scope"]) == ("insufficient_scope", SCOPE)

    def test_credentials_that_are_malformed_or_two_are_a_bad_request(self) -> None:
        for reason in (Reason.CREDENTIALS_MALFORMED, Reason.CREDENTIALS_AMBIGUOUS):
            assert answer(reason).status == 400
            assert answer(reason).challenge["error"] == "invalid_request"

    def test_who_resends_is_told_the_same_with_511(self) -> None:
        told = answer(Reason.TOKEN_EXPIRED, resends=True)
        assert told.status == 511
        assert told.challenge == answer(Reason.TOKEN_EXPIRED).challenge

    @pytest.mark.parametrize("reason", Reason)
    def test_there_is_one_with_every_401_403_and_511(self, reason: Reason) -> None:
        for resends in (False, True):
            told = answer(reason, resends=resends)
            if told.status in (401, 403, 511):
                assert told.challenge["realm"] == "tollgate"


class TestBodies:
    @pytest.mark.parametrize("reason", Reason)
    def test_all_that_some_client_needs_is_there(self, reason: Reason) -> None:
        told = answer(reason)
        assert told["Content-Type"] == "application/json"
        assert told["Content-Length"] == str(len(told.body))
        assert told["Cache-Control"] == "no-store"
        assert told["X-Request-Id"] == "request-1"
        assert json.loads(told.body) == {
            "success": False,
            "code": reason.value,
            "message": DENIALS[reason].message,
            "error": DENIALS[reason].error,
            "error_description": DENIALS[reason].message,
            "request_id": "request-1",
        }

    def test_a_pixel_gets_its_image_whatever_happens(self) -> None:
        told = answer(Reason.TOKEN_MISSING, pixel=True)
        assert (told.status, told["Content-Type"]) == (401, "image/gif")
        assert told.body == EMPTY_GIF
        assert EMPTY_GIF.startswith(b"GIF89a\x01\x00\x01\x00")

    def test_head_gets_the_length_and_no_body(self) -> None:
        told = answer(Reason.METHOD_NOT_ALLOWED, allow=b"POST", to_head=True)
        whole = answer(Reason.METHOD_NOT_ALLOWED, allow=b"POST")
        assert told.body == b""
        assert told["Content-Length"] == whole["Content-Length"] != "0"


class TestFields:
    @pytest.mark.parametrize(
        "reason", [Reason.VIEW_TOO_OLD, Reason.VIEW_UNCONFIRMED, Reason.OVERLOADED]
    )
    def test_a_passing_fault_says_when_to_come_back(self, reason: Reason) -> None:
        told = answer(reason)
        assert told.status == 503
        assert int(told["Retry-After"]) >= 1
        assert told.all("WWW-Authenticate") == []

    def test_a_coding_that_is_not_read_names_the_one_that_is(self) -> None:
        told = answer(Reason.ENCODING_UNSUPPORTED)
        assert (told.status, told["Accept-Encoding"]) == (415, "gzip")

    def test_405_says_what_is_allowed(self) -> None:
        told = answer(Reason.METHOD_NOT_ALLOWED, allow=b"POST, OPTIONS")
        assert (told.status, told["Allow"]) == (405, "POST, OPTIONS")

    def test_the_end_of_the_connection_is_told(self) -> None:
        assert answer(Reason.NOT_FOUND, close=True)["Connection"] == "close"
        assert answer(Reason.NOT_FOUND).all("Connection") == []

    def test_options_has_neither_body_nor_length(self) -> None:
        told = Answer(options(b"POST, OPTIONS", request_id=b"request-1", close=False))
        assert (told.status, told["Allow"], told.body) == (204, "POST, OPTIONS", b"")
        assert told.all("Content-Length") == []


class TestDate:
    def test_it_is_true_and_in_the_one_format_that_sdks_parse(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dates = Dates()
        for now in (1_795_501_617.9, 1_795_501_618.0, 1_795_501_618.5, 0.0):
            monkeypatch.setattr("time.time", lambda now=now: now)
            name, _, value = dates.line().decode().partition(": ")
            assert name == "Date"
            assert re.fullmatch(
                r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT\r\n", value
            )
            assert email.utils.parsedate_to_datetime(value).timestamp() == int(now)

    def test_a_denial_that_was_given_before_has_the_date_of_now(
        self, monkeypatch
    ) -> None:
        for now, date in (
            (0.0, b"Thu, 01 Jan 1970 00:00:00 GMT"),
            (0.9, b"Thu, 01 Jan 1970 00:00:00 GMT"),
            (86_401.0, b"Fri, 02 Jan 1970 00:00:01 GMT"),
        ):
            monkeypatch.setattr("time.time", lambda now=now: now)
            answer = denial(Reason.TOKEN_MALFORMED, request_id=b"id-1")
            assert answer.count(b"\r\nDate: ") == 1
            assert b"\r\nDate: %b\r\n" % date in answer
