"""The audit over HTTP, and revocations on their way to the token-issuer."""

from datetime import UTC, datetime, timedelta

from aiohttp import web

from app_registry.testing.api import Api
from app_registry.testing.issuer import Issuer
from app_registry.testing.requests import app_body, source_body
from tollgate.events.issuance import TokenIssued
from tollgate.events.tokens import AllTokensRevoked

ISSUED = TokenIssued(
    jti="j1",
    signing_kid="s",
    key="k/2",
    rev=0,
    scopes=("tracking_api:write",),
    aud=("urn:tollgate:tracking-api",),
    issued_at=datetime(2026, 1, 1, tzinfo=UTC),
    expires_at=datetime(2026, 1, 2, tzinfo=UTC),
)


async def told(api: Api, query: str = "") -> list[dict]:
    """All pages of the audit, three events each."""
    events, cursor = [], ""
    while True:
        page = await api.get(f"/v1/audit/events?limit=3{query}{cursor}")
        assert page.status == 200, page
        events += page.body["data"]
        if page.body["next_cursor"] is None:
            return events
        cursor = f"&cursor={page.body['next_cursor']}"


def types(events: list[dict]) -> list[str]:
    return [each["type"] for each in events if each["type"] != "access_token.used"]


async def test_the_logs_are_told_as_one_story(
    api: Api, issuer: Issuer, stranger_of_api: Api
) -> None:
    theirs = await stranger_of_api.made("/v1/oauth-apps", app_body())
    app = await api.made("/v1/oauth-apps", app_body())
    source = await api.made("/v1/sources", source_body())
    await api.made(f"/v1/sources/{source['id']}/write-keys")
    await api.put(f"/v1/sources/{source['id']}/oauth-app", {"app_id": app["id"]})
    for app_id in (app["id"], theirs["id"]):
        issuer.issuance.append(f"oauth_app-{app_id}", ISSUED)
        issuer.tokens.append(f"oauth_app-{app_id}", AllTokensRevoked())

    story = [
        "oauth_app.token_issued",  # the logs in memory begin on 1 January 2026
        "oauth_app.all_tokens_revoked",
        "workspace.created",
        "member.added",
        "access_token.issued",
        "oauth_app.created",
        "oauth_app.key_added",
        "source.created",
        "write_key.claimed",
        "source.write_key_added",
        "source.oauth_app_connected",
        "oauth_app.source_connected",
    ]
    events = await told(api)
    assert types(events) == story
    assert types(await told(api, "&order=desc")) == story[::-1]
    (olga,) = (await api.get("/v1/members")).body["data"]
    created = next(each for each in events if each["type"] == "oauth_app.created")
    assert created["log"] == "registry"
    assert created["stream"] == f"oauth_app-{app['id']}"
    assert created["actor"] == f"member-{olga['id']}"
    assert created["client_address"] == "127.0.0.1"
    assert created["data"]["name"] == "Shop"

    stream = f"&stream=oauth_app-{app['id']}"
    assert types(await told(api, stream)) == [
        "oauth_app.token_issued",
        "oauth_app.all_tokens_revoked",
        "oauth_app.created",
        "oauth_app.key_added",
        "oauth_app.source_connected",
    ]
    assert types(await told(api, f"{stream}&log=registry&order=desc")) == [
        "oauth_app.source_connected",
        "oauth_app.key_added",
        "oauth_app.created",
    ]
    assert types(await told(api, "&type=oauth_app.created")) == ["oauth_app.created"]
    assert types(await told(api, f"&actor=member-{olga['id']}")) == story[5:]
    assert types(await told(api, "&actor=system")) == [*story[:5]]
    since = created["recorded_at"].replace("+", "%2B")
    assert types(await told(api, f"&since={since}")) == story[5:]
    assert types(await told(api, f"&until={since}")) == story[:5]
    future = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert await told(api, f"&since={future}") == []


async def test_without_the_issuer_the_registry_can_still_be_read(
    owner: Api,
) -> None:
    answer = await owner.get("/v1/audit/events")
    assert (answer.status, answer.problem) == (503, "unavailable")
    assert "log=registry" in answer.body["detail"]
    assert types(await told(owner, "&log=registry"))[0] == "workspace.created"


async def test_what_is_asked_for_must_make_sense(owner: Api) -> None:
    for query in (
        *("order=up", "log=other", "type=oauth_app.nonsense", "limit=0", "cursor=x"),
        *("since=yesterday", "since=2026-01-01T00:00:00", "until=2026-13-01T00:00:00Z"),
        *("stream=nonsense", "stream=oauth_app-%00", "actor=x", "stream=%ff-x"),
        *("since=9999999-01-01T00:00:00Z", "since=0001-01-01T00:00:00%2B14:00"),
        *("cursor=eyJyZWdpc3RyeSI6IngifQ", "cursor=eyJyZWdpc3RyeSI6LTF9"),
        *("cursor=eyJyZWdpc3RyeSI6OTk5OTk5OTk5OTk5OTk5OTk5OTk5fQ", "unknown=1"),
    ):
        answer = await owner.get(f"/v1/audit/events?log=registry&{query}")
        if query == "log=other":
            answer = await owner.get(f"/v1/audit/events?{query}")
        assert (answer.status, answer.problem) == (400, "invalid-parameter"), query


class TestRevocations:
    async def test_are_passed_on_with_the_callers_credential(
        self, api: Api, issuer: Issuer
    ) -> None:
        issuer.answer = web.Response(
            status=201,
            body=b'{"revoked": true}',
            content_type="application/json",
            headers={"Idempotency-Replayed": "true", "X-Internal": "secret"},
        )
        answer = await api.call(
            "POST",
            "/v1/oauth-apps/app%2F1/revocations",
            data=b'{ "all": true }',
            headers={"Idempotency-Key": "k1", "X-Request-Id": "ticket-7"},
        )
        assert (answer.status, answer.body) == (201, {"revoked": True})
        assert answer.headers["Idempotency-Replayed"] == "true"
        assert "X-Internal" not in answer.headers
        ((path, headers, body),) = issuer.asked
        assert path == "/v1/oauth-apps/app%2F1/revocations"
        assert body == b'{ "all": true }'
        assert headers["Authorization"] == f"Bearer {api.access_token}"
        assert headers["Idempotency-Key"] == "k1"
        assert headers["X-Request-Id"] == "ticket-7"
        assert headers["X-Forwarded-For"] == "127.0.0.1"

    async def test_refusals_come_back_as_they_are(
        self, api: Api, issuer: Issuer
    ) -> None:
        issuer.answer = web.Response(
            status=403,
            body=b'{"type":"urn:tollgate:problem:not-permitted","status":403}',
            content_type="application/problem+json",
        )
        answer = await api.post("/v1/oauth-apps/app_1/revocations", {"all": True})
        assert (answer.status, answer.problem) == (403, "not-permitted")

    async def test_without_the_issuer_nothing_is_claimed(self, owner: Api) -> None:
        answer = await owner.post("/v1/oauth-apps/app_1/revocations", {"all": True})
        assert (answer.status, answer.problem) == (503, "unavailable")
        assert answer.headers["Retry-After"]

    async def test_only_json_is_passed_on(self, api: Api, issuer: Issuer) -> None:
        path = "/v1/oauth-apps/app_1/revocations"
        for answer, status in (
            (await api.call("POST", path, data=b"x" * 70_000), 413),
            (
                await api.call(
                    "POST", path, data=b"{}", headers={"Content-Type": "text/plain"}
                ),
                415,
            ),
        ):
            assert answer.status == status
        assert issuer.asked == []
