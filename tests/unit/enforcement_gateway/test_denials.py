"""The table of answers is complete, and says nothing that loses events needlessly."""

import json
import re

import pytest

from enforcement_gateway.domain.authorization import OF_TOKENS
from enforcement_gateway.domain.denials import (
    DENIALS,
    Challenge,
    Reason,
    status_of,
)
from enforcement_gateway.http.responses import denial
from tollgate.oauth.access_tokens import TokenRefusal

FIT = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+").fullmatch


def test_every_reason_has_an_answer():
    assert set(DENIALS) == set(Reason)


def test_every_refusal_of_a_token_has_a_reason():
    assert set(OF_TOKENS) == set(TokenRefusal)


@pytest.mark.parametrize("reason", Reason)
class TestEach:
    def test_texts_fit_a_challenge(self, reason):
        assert FIT(DENIALS[reason].message)
        assert FIT(DENIALS[reason].error)

    def test_a_401_has_a_challenge_and_a_503_a_retry_after(self, reason):
        entry = DENIALS[reason]
        if entry.status == 401:
            assert entry.challenge is not Challenge.NONE
        if entry.status in (502, 503, 504):
            assert entry.retry_after
            assert entry.error == "temporarily_unavailable"

    def test_only_what_a_new_token_cures_is_511(self, reason):
        entry = DENIALS[reason]
        assert status_of(entry, resends=False) == entry.status
        expected = 511 if entry.stale else entry.status
        assert status_of(entry, resends=True) == expected

    def test_is_never_a_500_nor_a_redirect(self, reason):
        status = DENIALS[reason].status
        assert 400 <= status < 600
        assert status != 500

    def test_the_bytes_are_one_sound_answer(self, reason):
        answer = denial(
            reason, request_id=b"id-1", resends=True, scope="tracking_api:write"
        )
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0].startswith(b"HTTP/1.1 ")
        assert b"Content-Length: %d" % len(body) in lines
        document = json.loads(body)
        assert document["success"] is False
        assert document["code"] == reason.value
        for name in ("message", "error", "error_description", "request_id"):
            assert document[name]


def test_stale_is_what_the_design_calls_so():
    stale = {reason for reason, entry in DENIALS.items() if entry.stale}
    assert stale == {
        Reason.TOKEN_EXPIRED,
        Reason.TOKEN_REVOKED,
        Reason.APP_KEY_RETIRED,
        Reason.TOKEN_SIGNING_KEY_COMPROMISED,
        Reason.TOKEN_SIGNING_KEY_RETIRED,
    }
