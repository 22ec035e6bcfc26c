"""What passes, what does not, and what the upstream gets to see of it."""

import base64
import json

import pytest

from enforcement_gateway.domain.denials import Reason
from tollgate.events.registry import Enforcement
from tollgate.oauth.scopes import Scope

PYTHON = "analytics-python/2.4.0"


def code_of(answer):
    body = json.loads(answer.body)
    assert body["success"] is False
    assert {"code", "message", "error", "error_description", "request_id"} < set(body)
    assert body["request_id"] == answer["X-Request-Id"]
    return body["code"]


class TestAdmitted:
    async def test_a_valid_bearer_passes_and_the_body_stays_byte_for_byte(
        self, gateway, world
    ):
        body = b'{ "batch":[ {"type":"track"} ],\n"writeKey":"enforced-key" }'
        answer = await gateway.ask(body, token=world.token())

        assert answer.status == 200
        assert answer.body == b'{"success": true}'
        (request,) = gateway.upstream.requests
        assert request.start_line == "POST /v1/batch HTTP/1.1"
        assert request.body == body
        assert request["Tollgate-Client-Id"] == "app_one"
        assert request["X-Request-Id"] == answer["X-Request-Id"]
        assert request["Via"] == "1.1 tollgate"
        assert request["X-Forwarded-For"] == "127.0.0.1"
        assert request["X-Forwarded-Proto"] == "http"
        assert request["X-Forwarded-Host"] == "gateway.test"
        assert request["Host"] == f"127.0.0.1:{gateway.upstream.port}"
        assert request["Content-Type"] == "application/json"
        assert "Authorization" not in request

    async def test_connections_are_kept_on_both_sides(self, gateway, world):
        client = await gateway.client()
        for _ in range(5):
            request = gateway.request(gateway.batch(), token=world.token())
            assert (await client.ask(request)).status == 200
        assert gateway.upstream.connections == 1

    @pytest.mark.parametrize("token", [None, "rubbish", "a.b.c"])
    async def test_an_open_source_needs_no_token_and_minds_none(self, gateway, token):
        answer = await gateway.ask(gateway.batch("open-key"), token=token)
        assert answer.status == 200
        assert "Authorization" not in gateway.upstream.requests[0]
        assert "Tollgate-Client-Id" not in gateway.upstream.requests[0]

    async def test_basic_of_an_open_source_goes_on_as_it_came(self, gateway):
        basic = "Basic " + base64.b64encode(b"open-key:\n").decode()
        answer = await gateway.ask(gateway.batch(None), Authorization=basic)
        assert answer.status == 200
        assert gateway.upstream.requests[0]["Authorization"] == basic

    async def test_an_open_source_passes_however_old_the_view(self, gateway, world):
        world.view.is_fresh = False
        assert (await gateway.ask(gateway.batch("open-key"))).status == 200

    async def test_report_lets_through_counts_and_samples(self, gateway, world):
        answer = await gateway.ask(
            gateway.batch("reporting-key"), User_Agent="curl/8", token="a.b.c"
        )
        assert answer.status == 200
        assert gateway.counters.reported == {Reason.TOKEN_MALFORMED: 1}
        (sample,) = gateway.counters.samples
        assert sample.source_id == "src_reporting"
        assert sample.reason is Reason.TOKEN_MALFORMED
        assert sample.request_id == answer["X-Request-Id"]
        assert sample.user_agent == "curl/8"

    async def test_report_lets_through_what_is_good_without_counting_it(
        self, gateway, world
    ):
        answer = await gateway.ask(gateway.batch("reporting-key"), token=world.token())
        assert answer.status == 200
        assert gateway.counters.reported == {}
        assert gateway.upstream.requests[0]["Tollgate-Client-Id"] == "app_one"

    async def test_report_lets_through_when_the_view_is_too_old(self, gateway, world):
        world.view.is_fresh = False
        assert (await gateway.ask(gateway.batch("reporting-key"))).status == 200
        assert gateway.counters.reported == {Reason.VIEW_TOO_OLD: 1}


class TestDenied:
    async def test_nothing_denied_reaches_the_upstream(self, gateway):
        assert (await gateway.ask(gateway.batch())).status == 401
        assert gateway.upstream.requests == []

    async def test_no_bearer_is_401_without_an_error_in_the_challenge(self, gateway):
        answer = await gateway.ask(gateway.batch())
        assert (answer.status, code_of(answer)) == (401, "token_missing")
        assert answer["WWW-Authenticate"] == 'Bearer realm="tollgate"'
        assert answer["Content-Type"] == "application/json"
        assert answer["Cache-Control"] == "no-store"
        assert "Date" in answer

    @pytest.mark.parametrize(
        "scheme", ["DPoP a.b.c", "Digest x", "Basic ZW5mb3JjZWQta2V5Og=="]
    )
    async def test_another_scheme_is_no_bearer(self, gateway, scheme):
        answer = await gateway.ask(gateway.batch(), Authorization=scheme)
        assert (answer.status, code_of(answer)) == (401, "token_missing")

    @pytest.mark.parametrize(
        "value",
        ["Bearer", "Bearer\ta.b.c", 'Bearer "a.b.c"', "Bearer a.b.c, x", "Bearer a b"],
    )
    async def test_a_malformed_bearer_is_400(self, gateway, value):
        answer = await gateway.ask(gateway.batch(), Authorization=value)
        assert (answer.status, code_of(answer)) == (400, "credentials_malformed")
        assert 'error="invalid_request"' in answer["WWW-Authenticate"]

    async def test_two_authorization_fields_are_refused(self, gateway, world):
        client = await gateway.client()
        answer = await client.ask(
            gateway.request(
                gateway.batch(),
                token=world.token(),
                Authorization="Basic b3Blbi1rZXk6",
            )
        )
        assert (answer.status, code_of(answer)) == (400, "credentials_ambiguous")

    async def test_a_token_in_header_and_query_is_refused(self, gateway, world):
        answer = await gateway.ask(
            gateway.batch(), path="/v1/batch?access_token=x", token=world.token()
        )
        assert (answer.status, code_of(answer)) == (400, "credentials_ambiguous")

    async def test_a_token_in_the_query_alone_is_none(self, gateway, world):
        answer = await gateway.ask(
            gateway.batch(), path=f"/v1/batch?access_token={world.token()}"
        )
        assert (answer.status, code_of(answer)) == (401, "token_missing")

    @pytest.mark.parametrize(
        ("claims", "code"),
        [
            ({"issuer": "https://evil.test"}, "token_issuer_wrong"),
            ({"audiences": ("urn:other",)}, "token_audience_wrong"),
            ({"scopes": (Scope.FUNCTIONS_WRITE,)}, "token_audience_wrong"),
        ],
    )
    async def test_a_token_for_others_is_401(self, gateway, world, claims, code):
        answer = await gateway.ask(gateway.batch(), token=world.token(**claims))
        assert (answer.status, code_of(answer)) == (401, code)
        assert 'error="invalid_token"' in answer["WWW-Authenticate"]

    async def test_a_mutated_token_is_401(self, gateway, world):
        token = world.token()
        at = token.rindex(".") + 10
        mutated = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        answer = await gateway.ask(gateway.batch(), token=mutated)
        assert (answer.status, code_of(answer)) == (401, "token_signature_wrong")

    async def test_an_app_that_is_not_connected_is_403(self, gateway, world):
        world.add_app("app_two")
        world.view.on_refresh = lambda: None
        answer = await gateway.ask(
            gateway.batch(), token=world.token(client_id="app_two")
        )
        assert (answer.status, code_of(answer)) == (403, "source_not_connected")

    async def test_a_scope_that_the_app_lost_is_403_and_named(self, gateway, world):
        world.change_app(scopes=frozenset({Scope.FUNCTIONS_WRITE}))
        world.view.on_refresh = lambda: None
        answer = await gateway.ask(gateway.batch(), token=world.token())
        assert (answer.status, code_of(answer)) == (403, "scope_withdrawn")
        assert 'scope="tracking_api:write"' in answer["WWW-Authenticate"]
        assert 'error="insufficient_scope"' in answer["WWW-Authenticate"]

    async def test_a_deleted_app_is_401(self, gateway, world):
        world.change_app(deleted=True)
        answer = await gateway.ask(gateway.batch(), token=world.token())
        assert (answer.status, code_of(answer)) == (401, "app_deleted")

    async def test_a_view_too_old_is_503_with_retry_after(self, gateway, world):
        world.view.is_fresh = False
        answer = await gateway.ask(gateway.batch(), token=world.token())
        assert (answer.status, code_of(answer)) == (503, "view_too_old")
        assert answer["Retry-After"] == "1"


def revoked(world):
    world.revoke("cut")
    return world.token(jti="cut")


def compromised(world):
    world.compromise_signing_key()
    return world.token()


STALE = {
    "token_expired": lambda world: world.token(age=90_000),
    "token_revoked": revoked,
    "app_key_retired": lambda world: world.token(key="client-key/1"),
    "token_signing_key_compromised": compromised,
}


def node_batch(gateway, version, name="@segment/analytics-node"):
    library = {"name": name, "version": version}
    return gateway.batch(
        "enforced-key", {"type": "track", "context": {"library": library}}
    )


class TestStale:
    @pytest.mark.parametrize("code", STALE)
    async def test_511_for_who_resends_and_401_for_who_does_not(
        self, gateway, world, code
    ):
        token = STALE[code](world)
        for agent, status in ((PYTHON, 511), ("analytics-python/2.3.6", 401)):
            answer = await gateway.ask(gateway.batch(), token=token, User_Agent=agent)
            assert (answer.status, code_of(answer)) == (status, code)
            assert 'error="invalid_token"' in answer["WWW-Authenticate"]

    @pytest.mark.parametrize(
        ("version", "status"),
        [
            ("2.0.0", 401),
            ("3.0.0", 401),
            ("3.0.99", 401),
            ("3.1.0", 511),
            ("3.10.2", 511),
            ("4.0.0", 511),
            ("x", 401),
            (None, 401),
        ],
    )
    async def test_node_tells_its_version_in_the_events(
        self, gateway, world, version, status
    ):
        answer = await gateway.ask(
            node_batch(gateway, version),
            token=world.token(age=90_000),
            User_Agent="analytics-node-next/latest",
        )
        assert answer.status == status

    async def test_the_leeway_is_thirty_seconds(self, gateway, world):
        for late, status in ((25, 200), (35, 401)):
            answer = await gateway.ask(
                gateway.batch(), token=world.token(age=100 + late, lifetime=100)
            )
            assert answer.status == status

    async def test_a_revocation_counts_though_the_token_is_remembered(
        self, gateway, world
    ):
        token = world.token()
        assert (await gateway.ask(gateway.batch(), token=token)).status == 200
        world.revoke("jti-1")
        answer = await gateway.ask(gateway.batch(), token=token)
        assert (answer.status, code_of(answer)) == (401, "token_revoked")

    async def test_a_kept_key_keeps_its_tokens(self, gateway, world):
        world.change_app(keys={}, honoured=("client-key/2",), version=3)
        assert (await gateway.ask(gateway.batch(), token=world.token())).status == 200


class TestUnknownIsNotNo:
    @pytest.fixture
    def unknown(self, world):
        """How to name each unknown thing, and how the logs come to know it."""
        return {
            "write_key_unknown": (
                {"write_key": "new-key"},
                {},
                lambda: world.add_source("src_new", "new-key", Enforcement.OFF, None),
            ),
            "app_unknown": (
                {},
                {"client_id": "app_new"},
                lambda: (
                    world.add_app("app_new"),
                    world.add_source(
                        "src_enforced", "enforced-key", Enforcement.ENFORCE, "app_new"
                    ),
                ),
            ),
            "app_key_unknown": (
                {},
                {"key": "client-key/7"},
                lambda: world.change_app(honoured=("client-key/7",), version=7),
            ),
            "token_signing_key_unknown": (
                {},
                {"signed_with": 1},
                lambda: world.add_signing_key(1),
            ),
            "source_not_connected": (
                {},
                {"client_id": "app_two"},
                lambda: world.add_source(
                    "src_enforced", "enforced-key", Enforcement.ENFORCE, "app_two"
                ),
            ),
        }

    ALL = (
        "write_key_unknown",
        "app_unknown",
        "app_key_unknown",
        "token_signing_key_unknown",
        "source_not_connected",
    )

    @pytest.fixture(autouse=True)
    def another_app(self, world):
        world.add_app("app_two")

    @pytest.mark.parametrize("code", ALL)
    async def test_refused_only_after_the_logs_were_read_again(
        self, gateway, world, unknown, code
    ):
        body, claims, _ = unknown[code]
        world.view.on_refresh = lambda: None
        answer = await gateway.ask(gateway.batch(**body), token=world.token(**claims))
        status = 403 if code == "source_not_connected" else 401
        assert (answer.status, code_of(answer)) == (status, code)
        assert world.view.refreshes == 1

    @pytest.mark.parametrize("code", ALL)
    async def test_admitted_if_the_logs_know_it(self, gateway, world, unknown, code):
        body, claims, world.view.on_refresh = unknown[code]
        answer = await gateway.ask(gateway.batch(**body), token=world.token(**claims))
        assert answer.status == 200

    @pytest.mark.parametrize("code", ALL)
    async def test_503_if_they_cannot_be_read(self, gateway, world, unknown, code):
        body, claims, _ = unknown[code]
        answer = await gateway.ask(gateway.batch(**body), token=world.token(**claims))
        assert (answer.status, code_of(answer)) == (503, "view_unconfirmed")
        assert gateway.upstream.requests == []


class TestWriteKeys:
    async def test_no_key_at_all_is_refused(self, gateway, world):
        answer = await gateway.ask(gateway.batch(None), token=world.token())
        assert (answer.status, code_of(answer)) == (401, "write_key_missing")

    async def test_a_deleted_key_is_refused(self, gateway, world):
        world.delete_key("open-key")
        answer = await gateway.ask(gateway.batch("open-key"))
        assert (answer.status, code_of(answer)) == (401, "write_key_deleted")

    @pytest.mark.parametrize("other", ["open-key", "other-enforced-key"])
    async def test_keys_of_two_sources_are_refused_if_one_is_guarded(
        self, gateway, world, other
    ):
        world.add_source(
            "src_other", "other-enforced-key", Enforcement.ENFORCE, "app_one"
        )
        event = {"type": "track", "writeKey": "enforced-key"}
        answer = await gateway.ask(gateway.batch(other, event), token=world.token())
        assert (answer.status, code_of(answer)) == (403, "sources_mixed")

    async def test_a_guarded_key_in_an_event_decides(self, gateway):
        event = {"type": "track", "writeKey": "enforced-key"}
        answer = await gateway.ask(gateway.batch("open-key", event))
        assert answer.status == 403

    async def test_a_guarded_key_in_basic_decides(self, gateway):
        basic = "Basic " + base64.b64encode(b"enforced-key:").decode()
        answer = await gateway.ask(gateway.batch("open-key"), Authorization=basic)
        assert answer.status == 403

    async def test_a_guarded_key_in_the_query_decides(self, gateway):
        answer = await gateway.ask(
            gateway.batch("open-key"), path="/v1/batch?writeKey=enforced-key"
        )
        assert answer.status == 403

    @pytest.mark.parametrize(
        "query", ["writekey=open-key", "write%4Bey=open-key", "writeKey=a&writeKey=b"]
    )
    async def test_a_key_in_the_query_is_spelt_exactly_or_not_at_all(
        self, gateway, query
    ):
        answer = await gateway.ask(gateway.batch("open-key"), path=f"/v1/batch?{query}")
        assert (answer.status, code_of(answer)) == (400, "body_unreadable")

    async def test_keys_of_open_sources_may_be_mixed(self, gateway, world):
        world.add_source("src_open_too", "open-too", Enforcement.OFF, None)
        event = {"type": "track", "writeKey": "open-too"}
        assert (await gateway.ask(gateway.batch("open-key", event))).status == 200

    async def test_unknown_keys_may_pass_while_a_deployment_migrates(
        self, make_gateway, world
    ):
        gateway = await make_gateway(admit_unknown=True)
        assert (await gateway.ask(gateway.batch("nobodys"))).status == 200
        assert (await gateway.ask(gateway.batch(None))).status == 200
        event = {"type": "track", "writeKey": "enforced-key"}
        answer = await gateway.ask(gateway.batch("nobodys", event), token=world.token())
        assert answer.status == 403
