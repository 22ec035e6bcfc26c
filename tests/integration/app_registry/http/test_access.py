"""Who may do what over HTTP: each role on each route, and apps with own tokens."""

from typing import Any

import pytest

from app_registry.testing.api import Answer, Api
from app_registry.testing.issuer import Issuer
from app_registry.testing.requests import (
    app_body,
    key_body,
    kid_of,
    member_body,
    source_body,
)
from tollgate.clock import SystemClock
from tollgate.events.registry import Role
from tollgate.events.tokens import (
    AllTokensRevoked,
    SigningKeyCompromised,
)
from tollgate.ids import random_text
from tollgate.testing.keys import signing_key
from tollgate.testing.waiting import until

VIEWS = {
    "view workspace",
    "view types",
    "list sources",
    "list apps",
    "view app",
    "view keys",
}
ON_SERVER = {"view server", "connect server", "enforce server", "disconnect server"}
ON_FUNCTION = {
    "view function",
    "connect function",
    "enforce function",
    "disconnect function",
}
EDITS = {"edit app", "add key", "delete key", "delete app"}
EVERYTHING = (
    VIEWS
    | ON_SERVER
    | ON_FUNCTION
    | EDITS
    | {
        *("list members", "add member", "change roles", "remove member"),
        *("list tokens", "issue token", "revoke token", "read audit"),
        *("create source", "create function", "rename source", "delete source"),
        *("add write key", "delete write key", "create app", "grant public api"),
    }
)
MAY: dict[Role, set[str]] = {
    Role.WORKSPACE_OWNER: EVERYTHING,
    Role.WORKSPACE_MEMBER: {"view workspace", "view types"},
    Role.SOURCE_ADMIN: VIEWS | ON_SERVER | EDITS | {"create source"},
    Role.SOURCE_READ_ONLY: VIEWS | {"view server"},
    Role.FUNCTION_ADMIN: VIEWS | ON_FUNCTION | EDITS,
    Role.FUNCTION_READ_ONLY: VIEWS | {"view function"},
}


class Things:
    """Things of a workspace that one caller may or may not touch."""

    def __init__(self, owner: Api) -> None:
        self.owner = owner
        self.paths: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.write_key = random_text(16)

    async def make(self) -> None:
        owner = self.owner
        for kind, source_type in (
            ("server", "python"),
            ("function", "source-function"),
        ):
            source = await owner.made("/v1/sources", source_body(kind, source_type))
            self.ids[kind] = source["id"]
            self.paths[kind] = f"/v1/sources/{source['id']}"
        spare = await owner.made("/v1/sources", source_body("spare"))
        self.paths["spare"] = f"/v1/sources/{spare['id']}"
        await owner.made(
            f"{self.paths['spare']}/write-keys", {"write_key": self.write_key}
        )
        for name in ("app", "doomed"):
            app = await owner.made("/v1/oauth-apps", app_body(name))
            self.ids[name] = app["id"]
            self.paths[name] = f"/v1/oauth-apps/{app['id']}"
        await owner.made(f"{self.paths['app']}/keys", key_body(1))
        mia = await owner.made("/v1/members", member_body({"role": "source_admin"}))
        self.paths["mia"] = f"/v1/members/{mia['id']}"
        token = await owner.made("/v1/access-tokens", {"name": "t"})
        self.paths["token"] = f"/v1/access-tokens/{token['id']}"

    async def ask(self, api: Api) -> dict[str, Answer]:
        """Everything that can be asked, each with what has to come before it."""
        paths, answers = self.paths, {}
        role = {"roles": [{"role": "source_read_only"}]}
        answers["view workspace"] = await api.get("/v1/workspace")
        answers["view types"] = await api.get("/v1/source-types")
        answers["list sources"] = await api.get("/v1/sources")
        answers["list apps"] = await api.get("/v1/oauth-apps")
        answers["view app"] = await api.get(paths["app"])
        answers["view keys"] = await api.get(f"{paths['app']}/keys")
        for kind in ("server", "function"):
            path = paths[kind]
            answers[f"view {kind}"] = await api.get(path)
            app_id = {"app_id": self.ids["app"]}
            answers[f"connect {kind}"] = await api.put(f"{path}/oauth-app", app_id)
            await self.owner.put(f"{path}/oauth-app", app_id)
            report, off = {"mode": "report"}, {"mode": "off"}
            answers[f"enforce {kind}"] = await api.put(f"{path}/enforcement", report)
            await self.owner.put(f"{path}/enforcement", off)
            answers[f"disconnect {kind}"] = await api.delete(f"{path}/oauth-app")
        answers["edit app"] = await api.patch(paths["app"], {"name": "new"})
        answers["delete key"] = await api.delete(f"{paths['app']}/keys/{kid_of(1)}")
        await self.owner.delete(f"{paths['app']}/keys/{kid_of(1)}")
        answers["add key"] = await api.post(f"{paths['app']}/keys", key_body(2))
        answers["grant public api"] = await api.patch(
            paths["app"], {"scopes": ["public_api:read_write"]}
        )
        answers["delete app"] = await api.delete(
            f"{paths['doomed']}?confirm_name=doomed"
        )
        answers["create app"] = await api.post("/v1/oauth-apps", app_body("x", 3))
        answers["create source"] = await api.post("/v1/sources", source_body("x"))
        answers["create function"] = await api.post(
            "/v1/sources", source_body("x", "source-function")
        )
        answers["rename source"] = await api.patch(paths["spare"], {"name": "new"})
        answers["add write key"] = await api.post(f"{paths['spare']}/write-keys")
        answers["delete write key"] = await api.delete(
            f"{paths['spare']}/write-keys/{self.write_key}"
        )
        answers["delete source"] = await api.delete(paths["spare"])
        answers["list members"] = await api.get("/v1/members")
        answers["add member"] = await api.post(
            "/v1/members", member_body({"role": "source_admin"})
        )
        answers["change roles"] = await api.put(f"{paths['mia']}/roles", role)
        answers["list tokens"] = await api.get("/v1/access-tokens")
        answers["issue token"] = await api.post("/v1/access-tokens", {"name": "x"})
        answers["revoke token"] = await api.delete(paths["token"])
        answers["remove member"] = await api.delete(paths["mia"])
        answers["read audit"] = await api.get("/v1/audit/events?log=registry")
        return answers


@pytest.fixture
async def things(owner: Api) -> Things:
    things = Things(owner)
    await things.make()
    return things


async def member_with(owner: Api, *roles: dict[str, Any]) -> Api:
    """The API as a member with these roles sees it."""
    member = await owner.made("/v1/members", member_body(*roles, name="Somebody"))
    token = await owner.made(
        "/v1/access-tokens", {"name": "x", "member_id": member["id"]}
    )
    return owner.as_(token["access_token"])


def allowed(answers: dict[str, Answer]) -> set[str]:
    """What was done; everything else must have been refused for want of a role."""
    done = {name for name, answer in answers.items() if answer.status < 300}
    for name, answer in answers.items():
        if name not in done:
            assert (answer.status, answer.problem) == (403, "not-permitted"), name
    return done


@pytest.mark.parametrize("role", Role)
async def test_each_role_on_each_route(things: Things, role: Role) -> None:
    api = await member_with(things.owner, {"role": role})
    answers = await things.ask(api)
    assert set(answers) == EVERYTHING
    assert allowed(answers) == MAY[role]


class TestWriteKeys:
    async def test_are_not_for_those_who_may_only_look(self, owner: Api) -> None:
        seen: dict[str, list[bool]] = {}
        source = await owner.made("/v1/sources", source_body())
        path = f"/v1/sources/{source['id']}"
        write_key = (await owner.made(f"{path}/write-keys"))["write_key"]
        for role in ("source_admin", "source_read_only"):
            api = await member_with(owner, {"role": role})
            answers = [await api.get(path), await api.get("/v1/sources")]
            seen[role] = [write_key in str(each.body) for each in answers]
        assert seen == {
            "source_admin": [True, True],
            "source_read_only": [False, False],
        }


class TestRolesForAListOfSources:
    async def test_see_and_change_what_is_listed_only(self, owner: Api) -> None:
        made = [
            (await owner.made("/v1/sources", source_body(f"s{n}")))["id"]
            for n in range(4)
        ]
        api = await member_with(
            owner,
            {"role": "source_admin", "sources": [made[2], made[0]]},
            {"role": "source_read_only", "sources": [made[3], made[0]]},
        )
        listed = (await api.get("/v1/sources")).body["data"]
        assert [each["id"] for each in listed] == [made[0], made[2], made[3]]
        assert ["write_keys" in each for each in listed] == [True, True, False]
        paged = await api.get("/v1/sources?limit=2")
        cursor = paged.body["next_cursor"]
        rest = (await api.get(f"/v1/sources?limit=2&cursor={cursor}")).body
        assert [each["id"] for each in rest["data"]] == [made[3]]

        refused = await api.get(f"/v1/sources/{made[1]}")
        assert (refused.status, refused.problem) == (403, "not-permitted")
        app = await owner.made("/v1/oauth-apps", app_body())
        path, edit = f"/v1/oauth-apps/{app['id']}", {"name": "x"}
        assert (await api.patch(path, edit)).status == 403
        connect = {"app_id": app["id"]}
        assert (
            await api.put(f"/v1/sources/{made[0]}/oauth-app", connect)
        ).status == 200
        assert (await api.patch(path, edit)).status == 200
        await owner.put(f"/v1/sources/{made[3]}/oauth-app", connect)
        assert (await api.patch(path, edit)).status == 403
        refused = await api.put(
            f"/v1/sources/{made[3]}/enforcement", {"mode": "report"}
        )
        assert refused.status == 403

    async def test_forget_what_is_deleted(self, owner: Api) -> None:
        source = await owner.made("/v1/sources", source_body())
        api = await member_with(
            owner, {"role": "source_admin", "sources": [source["id"]]}
        )
        assert len((await api.get("/v1/sources")).body["data"]) == 1
        await owner.delete(f"/v1/sources/{source['id']}")
        assert (await api.get("/v1/sources")).body["data"] == []


class TestApps:
    @pytest.fixture
    async def admin_app(self, api: Api) -> dict[str, Any]:
        body = app_body("Automation", scopes=["public_api:read_write"])
        return await api.made("/v1/oauth-apps", body)

    async def test_administer_with_their_own_tokens(
        self, api: Api, issuer: Issuer, admin_app: dict[str, Any]
    ) -> None:
        things = Things(api)
        await things.make()
        answers = await things.ask(api.as_(issuer.mint(admin_app)))
        assert allowed(answers) == VIEWS | ON_SERVER | ON_FUNCTION | EDITS | {
            *("create source", "create function", "rename source", "delete source"),
            *("add write key", "delete write key"),
        }

    async def test_do_not_manage_themselves(
        self, api: Api, issuer: Issuer, admin_app: dict[str, Any]
    ) -> None:
        itself, path = (
            api.as_(issuer.mint(admin_app)),
            f"/v1/oauth-apps/{admin_app['id']}",
        )
        source = await api.made("/v1/sources", source_body())
        for answer in (
            await itself.patch(path, {"name": "x"}),
            await itself.post(f"{path}/keys", key_body(1)),
            await itself.delete(f"{path}/keys/{admin_app['keys'][0]['kid']}"),
            await itself.delete(f"{path}?confirm_name=Automation"),
            await itself.put(
                f"/v1/sources/{source['id']}/oauth-app", {"app_id": admin_app["id"]}
            ),
        ):
            assert (answer.status, answer.problem) == (403, "not-permitted")
        assert (await itself.get(path)).status == 200

    async def test_are_let_in_by_good_tokens_only(
        self, api: Api, issuer: Issuer, admin_app: dict[str, Any]
    ) -> None:
        now = int(SystemClock().now().timestamp())
        tracking = await api.made("/v1/oauth-apps", app_body("Tracking", 1))
        wrong = {
            "of an unknown key": issuer.mint(admin_app, signed_by=signing_key(nth=9)),
            "of another issuer": issuer.mint(admin_app, issuer="https://evil.example"),
            "for another door": issuer.mint(
                admin_app, audiences=["urn:tollgate:tracking-api"]
            ),
            "without the scope": issuer.mint(admin_app, scopes=["tracking_api:write"]),
            "expired": issuer.mint(admin_app, issued_at=now - 7200),
            "of no app": issuer.mint(admin_app | {"id": "app_none"}),
            "of an app without the scope": issuer.mint(tracking),
            "of a key it never had": issuer.mint(admin_app, key="x/2"),
            "of another time of its key": issuer.mint(
                admin_app, key=f"{admin_app['keys'][0]['kid']}/1"
            ),
            "rubbish": "a.b.c",
        }
        assert (
            await api.as_(issuer.mint(admin_app)).get("/v1/workspace")
        ).status == 200
        for why, token in wrong.items():
            answer = await api.as_(token).get("/v1/workspace")
            assert (answer.status, answer.problem) == (401, "not-authenticated"), why

    async def test_lose_their_tokens_when_these_are_revoked(
        self, api: Api, issuer: Issuer, admin_app: dict[str, Any]
    ) -> None:
        token = issuer.mint(admin_app)
        assert (await api.as_(token).get("/v1/workspace")).status == 200
        issuer.tokens.append(f"oauth_app-{admin_app['id']}", AllTokensRevoked())
        await until_refused(api.as_(token))
        assert (
            await api.as_(issuer.mint(admin_app, rev=1)).get("/v1/workspace")
        ).status == 200
        issuer.tokens.append(f"signing_key-{issuer.key.kid}", SigningKeyCompromised())
        await until_refused(api.as_(issuer.mint(admin_app, rev=1)))

    async def test_lose_their_tokens_with_the_key_the_scope_or_the_app(
        self, api: Api, issuer: Issuer
    ) -> None:
        async def new(nth: int) -> tuple[str, Api]:
            body = app_body(f"a{nth}", nth, scopes=["public_api:read_write"])
            app = await api.made("/v1/oauth-apps", body)
            return f"/v1/oauth-apps/{app['id']}", api.as_(issuer.mint(app))

        path, itself = await new(1)
        assert (await itself.get("/v1/workspace")).status == 200
        await api.delete(f"{path}/keys/{kid_of(1)}")
        assert (await itself.get("/v1/workspace")).status == 401
        path, itself = await new(2)
        await api.delete(f"{path}/keys/{kid_of(2)}?keep_tokens=true")
        assert (await itself.get("/v1/workspace")).status == 200
        path, itself = await new(3)
        await api.patch(path, {"scopes": ["tracking_api:write"]})
        assert (await itself.get("/v1/workspace")).status == 401
        path, itself = await new(4)
        await api.delete(f"{path}?confirm_name=a4")
        assert (await itself.get("/v1/workspace")).status == 401

    async def test_a_key_announced_a_moment_ago_is_known(
        self, api: Api, issuer: Issuer, admin_app: dict[str, Any]
    ) -> None:
        fresh = signing_key(nth=7)
        issuer.announce(fresh)
        token = issuer.mint(admin_app, signed_by=fresh)
        assert (await api.as_(token).get("/v1/workspace")).status == 200

    async def test_unknown_is_not_no(
        self, api: Api, issuer: Issuer, admin_app: dict[str, Any]
    ) -> None:
        issuer.tokens.down = True
        unknown = api.as_(issuer.mint(admin_app, signed_by=signing_key(nth=8)))
        answer = await unknown.get("/v1/workspace")
        assert (answer.status, answer.problem) == (503, "unavailable")
        known = api.as_(issuer.mint(admin_app))
        assert (await known.get("/v1/workspace")).status == 200


async def until_refused(api: Api) -> None:
    async def refused() -> bool:
        return (await api.get("/v1/workspace")).status == 401

    await until(refused)
