"""Every route of the admin API, as an owner uses it."""

import re

from app_registry.testing.api import Api
from app_registry.testing.requests import (
    app_body,
    key_body,
    kid_of,
    member_body,
    source_body,
)
from tollgate.oauth.algorithms import Algorithm

ADMIN = {"role": "source_admin", "sources": None}
OWNER = {"role": "workspace_owner", "sources": None}


class TestMembers:
    async def test_come_change_and_go(self, owner: Api) -> None:
        added = await owner.post("/v1/members", member_body(ADMIN))
        mia = added.body
        assert added.status == 201
        assert re.fullmatch("mem_[0-9A-Za-z]{22}", mia["id"])
        assert mia == {
            "id": mia["id"],
            "name": "Mia",
            "email": "mia@example.com",
            "roles": [ADMIN],
            "version": 1,
        }

        listed = await owner.get("/v1/members")
        assert [each["name"] for each in listed.body["data"]] == ["Olga", "Mia"]
        assert listed.body["next_cursor"] is None

        changed = await owner.put(
            f"/v1/members/{mia['id']}/roles", {"roles": [{"role": "workspace_owner"}]}
        )
        assert changed.status == 200
        assert changed.body["roles"] == [OWNER]
        assert changed.etag == '"2"'

        gone = await owner.delete(f"/v1/members/{mia['id']}")
        assert (gone.status, gone.body) == (204, None)
        listed = await owner.get("/v1/members")
        assert [each["name"] for each in listed.body["data"]] == ["Olga"]
        again = await owner.delete(f"/v1/members/{mia['id']}")
        assert (again.status, again.problem) == (404, "no-such-member")

    async def test_somebody_owns_the_workspace_always(self, owner: Api) -> None:
        (olga,) = (await owner.get("/v1/members")).body["data"]
        for refused in (
            await owner.delete(f"/v1/members/{olga['id']}"),
            await owner.put(f"/v1/members/{olga['id']}/roles", {"roles": [ADMIN]}),
        ):
            assert (refused.status, refused.problem) == (409, "last-owner")


class TestAccessTokens:
    async def test_are_shown_once_and_end_when_revoked(self, owner: Api) -> None:
        mia = await owner.made("/v1/members", member_body(ADMIN))
        made = await owner.post(
            "/v1/access-tokens",
            {
                "name": "ci",
                "member_id": mia["id"],
                "expires_at": "2999-01-01T00:00:00+01:00",
            },
        )
        assert made.status == 201
        assert made.body["expires_at"] == "2998-12-31T23:00:00Z"
        as_mia = owner.as_(made.body["access_token"])
        assert (await as_mia.get("/v1/sources")).status == 200

        listed = (await owner.get("/v1/access-tokens")).body["data"]
        assert [each["name"] for each in listed] == ["first", "ci"]
        assert not any("access_token" in each for each in listed)

        gone = await owner.delete(f"/v1/access-tokens/{made.body['id']}")
        assert gone.status == 204
        refused = await as_mia.get("/v1/sources")
        assert (refused.status, refused.problem) == (401, "not-authenticated")
        assert refused.headers["WWW-Authenticate"].startswith("Bearer realm=")

    async def test_end_with_their_member(self, owner: Api) -> None:
        mia = await owner.made("/v1/members", member_body(ADMIN))
        token = await owner.made(
            "/v1/access-tokens", {"name": "ci", "member_id": mia["id"]}
        )
        await owner.delete(f"/v1/members/{mia['id']}")
        refused = await owner.as_(token["access_token"]).get("/v1/workspace")
        assert refused.status == 401
        listed = (await owner.get("/v1/access-tokens")).body["data"]
        assert [each["name"] for each in listed] == ["first"]

    async def test_are_for_whoever_asks_if_nobody_is_named(self, owner: Api) -> None:
        made = await owner.made("/v1/access-tokens", {"name": "second"})
        assert made["expires_at"] is None
        assert (await owner.as_(made["access_token"]).get("/v1/members")).status == 200


class TestSources:
    async def test_come_change_and_go(self, owner: Api) -> None:
        made = await owner.post("/v1/sources", source_body())
        source = made.body
        path = f"/v1/sources/{source['id']}"
        assert made.headers["Location"] == path
        assert source == {
            "id": source["id"],
            "name": "Backend",
            "type": "python",
            "app_id": None,
            "enforcement": "off",
            "version": 1,
            "write_keys": [],
        }

        renamed = await owner.patch(path, {"name": "Server"})
        assert (renamed.status, renamed.body["name"]) == (200, "Server")
        assert (await owner.get(path)).body == renamed.body
        listed = (await owner.get("/v1/sources")).body["data"]
        assert listed == [renamed.body]

        assert (await owner.delete(path)).status == 204
        assert (await owner.get(path)).problem == "no-such-source"
        assert (await owner.get("/v1/sources")).body["data"] == []

    async def test_have_write_keys(self, owner: Api) -> None:
        source = await owner.made("/v1/sources", source_body())
        path = f"/v1/sources/{source['id']}/write-keys"
        generated = (await owner.made(path))["write_key"]
        assert re.fullmatch("[0-9A-Za-z]{32}", generated)
        given = "what/ever it%20is+=~"
        assert await owner.made(path, {"write_key": given}) == {"write_key": given}
        shown = await owner.get(f"/v1/sources/{source['id']}")
        assert shown.body["write_keys"] == [generated, given]

        taken = await owner.post(path, {"write_key": given})
        assert (taken.status, taken.problem) == (409, "write-key-taken")
        gone = await owner.delete(f"{path}/what%2Fever%20it%2520is+=~")
        assert gone.status == 204
        shown = await owner.get(f"/v1/sources/{source['id']}")
        assert shown.body["write_keys"] == [generated]
        taken = await owner.post(path, {"write_key": given})
        assert (taken.status, taken.problem) == (409, "write-key-taken")

    async def test_are_of_a_type_of_the_catalog(self, owner: Api) -> None:
        types = (await owner.get("/v1/source-types")).body["data"]
        with_oauth = {each["type"] for each in types if each["oauth"]}
        assert with_oauth == {"http-api", "node-js", "python", "source-function"}
        kinds = {each["type"]: each["kind"] for each in types}
        assert kinds["javascript"] == "website"


class TestApps:
    async def test_come_change_and_go(self, owner: Api) -> None:
        made = await owner.post("/v1/oauth-apps", app_body())
        app = made.body
        path = f"/v1/oauth-apps/{app['id']}"
        assert made.status == 201
        assert made.headers["Location"] == path
        assert app == {
            "id": app["id"],
            "name": "Shop",
            "token_lifetime": "1d",
            "scopes": ["tracking_api:write"],
            "keys": [
                {
                    "kid": kid_of(0),
                    "name": "key 0",
                    "alg": "ES256",
                    "pem": key_body(0)["pem"],
                }
            ],
            "sources": [],
            "version": 2,
        }

        edited = await owner.patch(
            path,
            {
                "name": "Mart",
                "token_lifetime": "30d",
                "scopes": ["functions:write", "tracking_api:write"],
            },
        )
        assert edited.status == 200
        assert edited.body["name"] == "Mart"
        assert edited.body["token_lifetime"] == "30d"
        assert edited.body["scopes"] == ["functions:write", "tracking_api:write"]
        assert (await owner.get(path)).body == edited.body
        assert (await owner.get("/v1/oauth-apps")).body["data"] == [edited.body]

        for wrong in ("", "?confirm_name=Shop", "?confirm_name=mart"):
            refused = await owner.delete(path + wrong)
            assert (refused.status, refused.problem) == (422, "name-not-confirmed")
        assert (await owner.delete(f"{path}?confirm_name=Mart")).status == 204
        assert (await owner.get(path)).problem == "no-such-oauth-app"

    async def test_have_two_keys_at_most(self, owner: Api) -> None:
        app = await owner.made("/v1/oauth-apps", app_body())
        path = f"/v1/oauth-apps/{app['id']}/keys"
        second = await owner.post(path, key_body(1, Algorithm.RS256))
        assert second.status == 201
        assert second.body["alg"] == "RS256"
        third = await owner.post(path, key_body(2))
        assert (third.status, third.problem) == (409, "too-many-keys")
        held = await owner.post(path, key_body(0))
        assert (held.status, held.problem) == (409, "key-already-held")

        kids = [each["kid"] for each in (await owner.get(path)).body["data"]]
        assert kids == [kid_of(0), kid_of(1, Algorithm.RS256)]
        gone = await owner.delete(f"{path}/{kid_of(0)}?keep_tokens=true")
        assert gone.status == 204
        assert (await owner.post(path, key_body(2))).status == 201
        missing = await owner.delete(f"{path}/{kid_of(0)}")
        assert (missing.status, missing.problem) == (404, "no-such-key")

    async def test_are_used_with_the_algorithm_that_is_named(self, owner: Api) -> None:
        app = await owner.made("/v1/oauth-apps", app_body())
        path = f"/v1/oauth-apps/{app['id']}/keys"
        rsa = key_body(1, Algorithm.RS256)
        refused = await owner.post(path, rsa | {"alg": "ES256"})
        assert (refused.status, refused.problem) == (422, "invalid-public-key")
        assert (await owner.made(path, rsa | {"alg": "PS256"}))["alg"] == "PS256"


class TestConnections:
    async def test_begin_are_enforced_and_end(self, owner: Api) -> None:
        source = await owner.made("/v1/sources", source_body())
        app = await owner.made("/v1/oauth-apps", app_body())
        path = f"/v1/sources/{source['id']}"

        early = await owner.put(f"{path}/enforcement", {"mode": "report"})
        assert (early.status, early.problem) == (409, "source-has-no-app")
        for _ in range(2):
            connected = await owner.put(f"{path}/oauth-app", {"app_id": app["id"]})
            assert (connected.status, connected.body["app_id"]) == (200, app["id"])
            assert connected.etag == '"2"'
        other = await owner.made("/v1/oauth-apps", app_body("Other", 1))
        refused = await owner.put(f"{path}/oauth-app", {"app_id": other["id"]})
        assert (refused.status, refused.problem) == (409, "source-has-another-app")

        for mode in ("report", "enforce"):
            enforced = await owner.put(f"{path}/enforcement", {"mode": mode})
            assert (enforced.status, enforced.body["enforcement"]) == (200, mode)
        for refused, problem in (
            (await owner.delete(f"{path}/oauth-app"), "enforcement-still-on"),
            (await owner.delete(path), "source-still-connected"),
            (
                await owner.delete(f"/v1/oauth-apps/{app['id']}?confirm_name=Shop"),
                "oauth-app-still-connected",
            ),
        ):
            assert (refused.status, refused.problem) == (409, problem)

        await owner.put(f"{path}/enforcement", {"mode": "off"})
        for _ in range(2):
            assert (await owner.delete(f"{path}/oauth-app")).status == 204
        assert (await owner.get(f"/v1/oauth-apps/{app['id']}")).body["sources"] == []

    async def test_are_for_types_that_can_keep_a_key(self, owner: Api) -> None:
        source = await owner.made("/v1/sources", source_body("Web", "javascript"))
        app = await owner.made("/v1/oauth-apps", app_body())
        refused = await owner.put(
            f"/v1/sources/{source['id']}/oauth-app", {"app_id": app["id"]}
        )
        assert (refused.status, refused.problem) == (422, "source-type-without-oauth")


async def test_what_is_another_workspaces_does_not_exist(
    owner: Api, stranger: Api
) -> None:
    source = await owner.made("/v1/sources", source_body())
    app = await owner.made("/v1/oauth-apps", app_body())
    mia = await owner.made("/v1/members", member_body(ADMIN))
    token = await owner.made("/v1/access-tokens", {"name": "second"})
    theirs = await stranger.made("/v1/sources", source_body())
    src, oauth_app = f"/v1/sources/{source['id']}", f"/v1/oauth-apps/{app['id']}"
    answers = [
        await stranger.get(src),
        await stranger.patch(src, {"name": "x"}),
        await stranger.delete(src),
        await stranger.post(f"{src}/write-keys"),
        await stranger.delete(f"{src}/write-keys/12345678"),
        await stranger.put(f"{src}/oauth-app", {"app_id": app["id"]}),
        await stranger.put(
            f"/v1/sources/{theirs['id']}/oauth-app", {"app_id": app["id"]}
        ),
        await stranger.delete(f"{src}/oauth-app"),
        await stranger.put(f"{src}/enforcement", {"mode": "off"}),
        await stranger.get(oauth_app),
        await stranger.patch(oauth_app, {"name": "x"}),
        await stranger.delete(f"{oauth_app}?confirm_name=Shop"),
        await stranger.get(f"{oauth_app}/keys"),
        await stranger.post(f"{oauth_app}/keys", key_body(1)),
        await stranger.delete(f"{oauth_app}/keys/{kid_of(0)}"),
        await stranger.put(f"/v1/members/{mia['id']}/roles", {"roles": [OWNER]}),
        await stranger.delete(f"/v1/members/{mia['id']}"),
        await stranger.delete(f"/v1/access-tokens/{token['id']}"),
        await stranger.post("/v1/access-tokens", {"name": "x", "member_id": mia["id"]}),
        await stranger.post(
            "/v1/members",
            member_body({"role": "source_admin", "sources": [source["id"]]}),
        ),
    ]
    assert [answer.status for answer in answers] == [404] * len(answers)
    assert [
        each["id"] for each in (await stranger.get("/v1/sources")).body["data"]
    ] == [theirs["id"]]
    for path in ("/v1/oauth-apps", "/v1/sources", "/v1/members", "/v1/access-tokens"):
        ours = {each["id"] for each in (await owner.get(path)).body["data"]}
        seen = {each["id"] for each in (await stranger.get(path)).body["data"]}
        assert not ours & seen


async def test_nobody_unknown_is_answered(owner: Api) -> None:
    token = owner.access_token or ""
    wrong = token[:-1] + ("A" if token[-1] != "A" else "B")
    for path in ("/v1/workspace", "/v1/sources", "/v1/oauth-apps", "/v1/source-types"):
        for bearer in (None, wrong, "tg_", "x", "a.b.c"):
            refused = await owner.as_(bearer).get(path)
            assert (refused.status, refused.problem) == (401, "not-authenticated")
    twice = await owner.as_(None).get(path, {"Authorization": f"Basic {token}"})
    assert twice.status == 401


async def test_answers_are_not_kept_by_caches(owner: Api) -> None:
    for answer in (
        await owner.get("/v1/sources"),
        await owner.get("/v1/sources/none"),
        await owner.as_(None).get("/v1/sources"),
    ):
        assert answer.headers["Cache-Control"] == "no-store"
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])
