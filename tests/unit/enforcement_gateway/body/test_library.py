"""Who sends the same batch again with a new token on 511 (WIRE 4.2)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcement_gateway.body.library import resends_with_a_new_token

NODE = "@segment/analytics-node"


def library(version: object, name: object = NODE) -> dict[str, object]:
    return {"context": {"library": {"name": name, "version": version}}}


def body_of(*events: object, **members: object) -> bytes:
    return json.dumps({"writeKey": "k", "batch": events, **members}).encode()


class TestPython:
    @pytest.mark.parametrize(
        "agent",
        [
            b"analytics-python/2.4.0",
            b"analytics-python/2.4",
            b"analytics-python/2.4.1",
            b"analytics-python/2.10.0",
            b"analytics-python/3.0.0",
            b"analytics-python/2.4.0 requests/2",
        ],
    )
    def test_resends_since_2_4_0(self, agent: bytes) -> None:
        assert resends_with_a_new_token(agent, None)

    @pytest.mark.parametrize(
        "agent",
        [
            b"analytics-python/2.3.6",
            b"analytics-python/2.3.99",
            b"analytics-python/1.9.0",
            b"analytics-python/2",
            b"analytics-python/",
            b"analytics-python",
            b"analytics-python/2x4x0",
            b"Analytics-Python/2.4.0",
            b"x analytics-python/2.4.0",
            b"analytics-python/v2.4.0",
            b"analytics-python/99999.0.0",
            b"analytics-python/2.3.6 analytics-python/2.4.0",
            b"",
        ],
    )
    def test_does_not_otherwise(self, agent: bytes) -> None:
        assert not resends_with_a_new_token(agent, None)

    def test_its_header_counts_and_not_the_body(self) -> None:
        body = body_of(library("3.1.0"))
        assert not resends_with_a_new_token(b"analytics-python/2.3.6", body)


class TestNode:
    @pytest.mark.parametrize("version", ["3.1.0", "3.1", "3.1.7", "3.10.0", "4.0.0"])
    def test_resends_since_3_1_0(self, version: str) -> None:
        agent = b"analytics-node-next/latest"
        assert resends_with_a_new_token(agent, body_of(library(version)))

    @pytest.mark.parametrize(
        "version", ["3.0.0", "3.0.99", "2.9.9", "0.3.1", "3", "", "latest", "v3.1.0"]
    )
    def test_does_not_before(self, version: str) -> None:
        assert not resends_with_a_new_token(b"", body_of(library(version)))

    @pytest.mark.parametrize(
        "body",
        [
            None,
            b"",
            b"{",
            b"\xff",
            b"[]",
            b"null",
            b"[" * 100_000,
            b'{"batch":' * 5000,
            body_of(),
            body_of({}),
            body_of({"context": None}),
            body_of({"context": {"library": "x"}}),
            body_of({"context": {"library": {"name": NODE}}}),
            body_of(library(3.1)),
            body_of(library("3.1.0", "analytics-node")),
            body_of(library("3.1.0", NODE.upper())),
            json.dumps({"batch": library("3.1.0")}).encode(),
        ],
    )
    def test_a_body_that_does_not_say_so_does_not(self, body: bytes | None) -> None:
        assert not resends_with_a_new_token(b"", body)

    def test_a_single_event_says_it_at_the_top(self) -> None:
        body = json.dumps({"writeKey": "k", **library("3.1.0")}).encode()
        assert resends_with_a_new_token(b"", body)

    @given(st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5))
    def test_nothing_in_a_body_is_an_error(self, value: object) -> None:
        for body in (
            body_of(library(value)),
            body_of(library("3.1.0", value)),
            body_of(value),
            body_of({"context": value}),
        ):
            assert resends_with_a_new_token(b"", body) in (True, False)
