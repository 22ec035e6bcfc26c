"""POST /v1/oauth-apps/{id}/revocations: administrators end the tokens of an app."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from token_issuer.testing.issuer import Answer, IssuerUnderTest
from token_issuer.testing.registry import (
    RegisteredApp,
    RegistryStandIn,
    key_added,
)
from tollgate.eventlog import EventLog
from tollgate.events.registry import (
    Grant,
    KeyDeleted,
    OAuthAppDeleted,
    Role,
    SourceConnected,
    SourceCreated,
)
from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.jws import decode
from tollgate.oauth.scopes import Scope
from tollgate.registry.administrators import new_access_token
from tollgate.testing.keys import signing_key

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def owner(registry: RegistryStandIn) -> str:
    """The access token of an owner."""
    return await registry.add_member(Grant(role=Role.WORKSPACE_OWNER))


async def is_active(issuer: IssuerUnderTest, app: RegisteredApp, token: str) -> bool:
    answer = await issuer.introspect(app, token)
    assert answer.status == 200, answer.body
    return bool(answer.json["active"])


def assert_problem(answer: Answer, status: int, slug: str) -> None:
    """RFC 9457: the same status in both places, a type that tells which it is."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.json["status"] == status
    assert answer.json["type"] == f"urn:tollgate:problem:{slug}"
    assert answer.json["title"]


async def events_of(tokens_log: EventLog, app: RegisteredApp) -> list[str]:
    return [each.type for each in await tokens_log.load(f"oauth_app-{app.id}")]


class TestWhatIsRevoked:
    async def test_one_token(
        self,
        issuer: IssuerUnderTest,
        app: RegisteredApp,
        owner: str,
        tokens_log: EventLog,
    ) -> None:
        token, other = await issuer.token_of(app), await issuer.token_of(app)

        answer = await issuer.revoke_as(owner, app, {"token": token})

        assert answer.status == 201
        (recorded,) = await tokens_log.load(f"oauth_app-{app.id}")
        assert answer.json == {"app_id": app.id, "position": recorded.position}
        assert not await is_active(issuer, app, token)
        assert await is_active(issuer, app, other)

    async def test_all_tokens(
        self, issuer: IssuerUnderTest, app: RegisteredApp, owner: str
    ) -> None:
        tokens = [await issuer.token_of(app) for _ in range(3)]

        answer = await issuer.revoke_as(owner, app, {"all": True})

        assert answer.status == 201
        assert [await is_active(issuer, app, token) for token in tokens] == [False] * 3
        await issuer.until_tokens_log_is_at(answer.json["position"])
        assert await is_active(issuer, app, await issuer.token_of(app))

    async def test_the_tokens_of_one_key(
        self,
        issuer: IssuerUnderTest,
        registry: RegistryStandIn,
        app: RegisteredApp,
        owner: str,
    ) -> None:
        second = signing_key(Algorithm.RS256, 2)
        await registry.append(f"oauth_app-{app.id}", key_added(second))
        other = RegisteredApp(id=app.id, key=second)
        token, token_of_other = await issuer.token_of(app), await issuer.token_of(other)

        answer = await issuer.revoke_as(owner, app, {"kid": app.key.kid})

        assert answer.status == 201
        assert not await is_active(issuer, app, token)
        assert await is_active(issuer, app, token_of_other)

    async def test_the_tokens_that_a_deleted_key_left_behind(
        self,
        issuer: IssuerUnderTest,
        registry: RegistryStandIn,
        app: RegisteredApp,
        owner: str,
    ) -> None:
        second = signing_key(Algorithm.RS256, 2)
        other = RegisteredApp(id=app.id, key=second)
        token = await issuer.token_of(app)
        await registry.append(
            f"oauth_app-{app.id}",
            key_added(second),
            KeyDeleted(kid=app.key.kid, keep_tokens=True),
        )

        answer = await issuer.revoke_as(owner, app, {"kid": app.key.kid})

        assert answer.status == 201
        assert not await is_active(issuer, other, token)

    async def test_the_tokens_issued_before_a_moment(
        self, issuer: IssuerUnderTest, app: RegisteredApp, owner: str
    ) -> None:
        token = await issuer.token_of(app)
        issued_at = msgspec.json.decode(decode(token).payload)["iat"]
        moment = datetime.fromtimestamp(issued_at, UTC)

        at = await issuer.revoke_as(owner, app, {"issued_before": moment})
        assert at.status == 201
        assert await is_active(issuer, app, token)

        while time.time() < issued_at + 1:
            await issuer.get("/livez")
        after = {"issued_before": (moment + timedelta(seconds=1)).isoformat()}
        assert (await issuer.revoke_as(owner, app, after)).status == 201
        assert not await is_active(issuer, app, token)

    async def test_a_token_that_has_ended_is_no_fault_and_no_event(
        self,
        issuer: IssuerUnderTest,
        app: RegisteredApp,
        owner: str,
        tokens_log: EventLog,
    ) -> None:
        token = await issuer.token_of(app)
        await issuer.revoke_as(owner, app, {"token": token})

        again = await issuer.revoke_as(owner, app, {"token": token})

        assert again.status == 200
        assert again.json == {"app_id": app.id, "position": None}
        assert len(await events_of(tokens_log, app)) == 1

    async def test_who_did_it_is_on_record(
        self,
        issuer: IssuerUnderTest,
        app: RegisteredApp,
        owner: str,
        tokens_log: EventLog,
    ) -> None:
        await issuer.revoke_as(
            owner, app, {"all": True}, Idempotency_Key="k", X_Request_Id="incident-1"
        )

        (recorded,) = await tokens_log.load(f"oauth_app-{app.id}")
        assert recorded.metadata is not None
        metadata = msgspec.json.decode(recorded.metadata)
        assert metadata["actor"].startswith("member-mem_")
        assert metadata["request_id"] == "incident-1"
        assert metadata["client_address"] == "127.0.0.1"
        assert metadata["command_id"] == f"{metadata['actor']}:k"


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"all": False},
            {"all": "true"},
            {"all": True, "kid": "k"},
            {"token": ""},
            {"token": None},
            {"token": 17},
            {"kid": ""},
            {"issued_before": "yesterday"},
            {"issued_before": "2026-01-01T00:00:00"},
            {"issued_before": 1767225600},
            {"issued_after": "2026-01-01T00:00:00Z"},
            [],
            "all",
        ],
    )
    async def test_bodies(
        self,
        issuer: IssuerUnderTest,
        app: RegisteredApp,
        owner: str,
        tokens_log: EventLog,
        body: Any,
    ) -> None:
        answer = await issuer.revoke_as(owner, app, body)

        assert_problem(answer, 422, "invalid-body")
        assert await events_of(tokens_log, app) == []

    async def test_what_is_no_json(
        self, issuer: IssuerUnderTest, app: RegisteredApp, owner: str
    ) -> None:
        path = f"/v1/oauth-apps/{app.id}/revocations"
        headers = {"Authorization": f"Bearer {owner}"}
        json = {**headers, "Content-Type": "application/json"}

        bad = await issuer.request("POST", path, data=b'{"all": tru', headers=json)
        twice = await issuer.request(
            "POST", path, data=b'{"all": true, "all": true}', headers=json
        )
        form = await issuer.post_form(path, {"all": "true"}, headers=headers)
        long = await issuer.request("POST", path, data=b" " * 20_000, headers=json)

        assert_problem(bad, 400, "malformed-json")
        assert_problem(twice, 400, "malformed-json")
        assert_problem(form, 415, "unsupported-media-type")
        assert_problem(long, 413, "body-too-large")

    async def test_a_token_that_is_not_the_apps(
        self,
        issuer: IssuerUnderTest,
        registry: RegistryStandIn,
        app: RegisteredApp,
        owner: str,
    ) -> None:
        """A mutated copy revokes nothing, and says so: somebody pasted it."""
        other = await registry.add_app()
        token, token_of_other = await issuer.token_of(app), await issuer.token_of(other)

        for wrong in ("rubbish", token[:-10] + "A" * 10, token_of_other, f"{token}="):
            answer = await issuer.revoke_as(owner, app, {"token": wrong})
            assert_problem(answer, 422, "not-an-access-token")
            assert wrong.encode() not in answer.body

        assert await is_active(issuer, app, token)
        assert await is_active(issuer, other, token_of_other)

    async def test_a_key_that_the_app_never_had(
        self, issuer: IssuerUnderTest, app: RegisteredApp, owner: str
    ) -> None:
        answer = await issuer.revoke_as(owner, app, {"kid": "misspelt"})

        assert_problem(answer, 404, "no-such-key")

    async def test_a_moment_that_is_yet_to_come(
        self, issuer: IssuerUnderTest, app: RegisteredApp, owner: str
    ) -> None:
        soon = datetime.now(UTC) + timedelta(minutes=1)

        answer = await issuer.revoke_as(owner, app, {"issued_before": soon})

        assert_problem(answer, 422, "not-in-the-past")

    async def test_other_methods(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        answer = await issuer.get(f"/v1/oauth-apps/{app.id}/revocations")

        assert answer.status == 405
        assert answer.headers["Allow"] == "POST"
        assert answer.headers["Content-Type"].startswith("application/problem+json")


class TestWhoMay:
    @pytest.mark.parametrize(
        "bearer",
        ["", "rubbish", "a.b.c", pytest.param(new_access_token().text, id="good form")],
    )
    async def test_nobody_unknown(
        self, issuer: IssuerUnderTest, app: RegisteredApp, bearer: str
    ) -> None:
        answer = await issuer.revoke_as(bearer, app, {"all": True})

        assert_problem(answer, 401, "not-authenticated")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")

    @pytest.mark.parametrize(
        ("role", "status"),
        [
            (Role.WORKSPACE_OWNER, 201),
            (Role.SOURCE_ADMIN, 201),
            (Role.FUNCTION_ADMIN, 201),
            (Role.WORKSPACE_MEMBER, 403),
            (Role.SOURCE_READ_ONLY, 403),
            (Role.FUNCTION_READ_ONLY, 403),
        ],
    )
    async def test_roles(
        self,
        issuer: IssuerUnderTest,
        registry: RegistryStandIn,
        app: RegisteredApp,
        role: Role,
        status: int,
    ) -> None:
        """Revoking is editing (DESIGN 5)."""
        bearer = await registry.add_member(Grant(role=role))

        answer = await issuer.revoke_as(bearer, app, {"all": True})

        assert answer.status == status

    async def test_a_role_for_some_sources_reaches_only_their_apps(
        self, issuer: IssuerUnderTest, registry: RegistryStandIn, app: RegisteredApp
    ) -> None:
        grant = Grant(role=Role.SOURCE_ADMIN, sources=("src_1",))
        bearer = await registry.add_member(grant)

        unconnected = await issuer.revoke_as(bearer, app, {"all": True})
        assert_problem(unconnected, 403, "not-permitted")

        await registry.append(
            "source-src_1",
            SourceCreated(workspace_id="ws_1", name="a", source_type="python"),
        )
        position = await registry.append(
            f"oauth_app-{app.id}", SourceConnected(source_id="src_1")
        )
        await issuer.until_registry_is_at(position)
        assert (await issuer.revoke_as(bearer, app, {"all": True})).status == 201

    async def test_only_an_owner_touches_an_app_of_the_admin_api(
        self, issuer: IssuerUnderTest, registry: RegistryStandIn, owner: str
    ) -> None:
        app = await registry.add_app(scopes=(Scope.PUBLIC_API_READ_WRITE,))
        admin = await registry.add_member(Grant(role=Role.SOURCE_ADMIN))

        assert_problem(
            await issuer.revoke_as(admin, app, {"all": True}), 403, "not-permitted"
        )
        assert (await issuer.revoke_as(owner, app, {"all": True})).status == 201

    async def test_another_workspaces_app_does_not_exist(
        self, issuer: IssuerUnderTest, registry: RegistryStandIn, app: RegisteredApp
    ) -> None:
        stranger = await registry.add_member(
            Grant(role=Role.WORKSPACE_OWNER), workspace="ws_2"
        )

        for target in (app, RegisteredApp(id="app_unknown", key=app.key)):
            answer = await issuer.revoke_as(stranger, target, {"all": True})
            assert_problem(answer, 404, "no-such-oauth-app")

    async def test_a_deleted_app_has_no_tokens_to_revoke(
        self,
        issuer: IssuerUnderTest,
        registry: RegistryStandIn,
        app: RegisteredApp,
        owner: str,
    ) -> None:
        position = await registry.append(f"oauth_app-{app.id}", OAuthAppDeleted())
        await issuer.until_registry_is_at(position)

        answer = await issuer.revoke_as(owner, app, {"all": True})

        assert_problem(answer, 404, "no-such-oauth-app")

    async def test_an_app_of_the_admin_api_may_but_not_for_itself(
        self, issuer: IssuerUnderTest, registry: RegistryStandIn, app: RegisteredApp
    ) -> None:
        actor = await registry.add_app(
            scopes=(Scope.PUBLIC_API_READ_WRITE, Scope.TRACKING_API_WRITE)
        )
        bearer = await issuer.token_of(actor)
        narrow = await issuer.token_of(actor, scope="tracking_api:write")

        assert (await issuer.revoke_as(bearer, app, {"all": True})).status == 201
        assert_problem(
            await issuer.revoke_as(bearer, actor, {"all": True}), 403, "not-permitted"
        )
        assert_problem(
            await issuer.revoke_as(narrow, app, {"all": True}),
            401,
            "not-authenticated",
        )

    async def test_a_member_added_a_moment_ago_may(
        self, issuer: IssuerUnderTest, registry: RegistryStandIn
    ) -> None:
        """Unknown is not no."""
        for _ in range(3):
            app = await registry.add_app(wait=False)
            bearer = await registry.add_member(
                Grant(role=Role.WORKSPACE_OWNER), wait=False
            )
            assert (await issuer.revoke_as(bearer, app, {"all": True})).status == 201


class TestIdempotency:
    async def test_a_repeated_request_is_answered_from_the_log(
        self,
        issuer: IssuerUnderTest,
        app: RegisteredApp,
        owner: str,
        tokens_log: EventLog,
    ) -> None:
        first = await issuer.revoke_as(owner, app, {"all": True}, Idempotency_Key="k1")
        again = await issuer.revoke_as(owner, app, {"all": True}, Idempotency_Key="k1")

        assert first.status == again.status == 201
        assert first.json == again.json
        assert "Idempotency-Replayed" not in first.headers
        assert again.headers["Idempotency-Replayed"] == "true"
        assert len(await events_of(tokens_log, app)) == 1

    async def test_without_a_key_each_request_is_its_own(
        self,
        issuer: IssuerUnderTest,
        app: RegisteredApp,
        owner: str,
        tokens_log: EventLog,
    ) -> None:
        for _ in range(2):
            await issuer.revoke_as(owner, app, {"all": True})

        assert len(await events_of(tokens_log, app)) == 2

    async def test_a_key_stands_for_one_request(
        self,
        issuer: IssuerUnderTest,
        app: RegisteredApp,
        owner: str,
        tokens_log: EventLog,
    ) -> None:
        await issuer.revoke_as(owner, app, {"all": True}, Idempotency_Key="k2")

        other = await issuer.revoke_as(
            owner, app, {"kid": app.key.kid}, Idempotency_Key="k2"
        )

        assert_problem(other, 422, "idempotency-key-reused")
        assert len(await events_of(tokens_log, app)) == 1

    async def test_a_key_means_something_to_its_own_actor_only(
        self,
        issuer: IssuerUnderTest,
        registry: RegistryStandIn,
        app: RegisteredApp,
        owner: str,
        tokens_log: EventLog,
    ) -> None:
        other = await registry.add_member(Grant(role=Role.WORKSPACE_OWNER))
        await issuer.revoke_as(owner, app, {"all": True}, Idempotency_Key="k3")

        answer = await issuer.revoke_as(
            other, app, {"kid": app.key.kid}, Idempotency_Key="k3"
        )

        assert answer.status == 201
        assert len(await events_of(tokens_log, app)) == 2

    @pytest.mark.parametrize("key", ["", "two words", "x" * 129, "\u00e9"])
    async def test_an_unfit_key_is_refused(
        self, issuer: IssuerUnderTest, app: RegisteredApp, owner: str, key: str
    ) -> None:
        answer = await issuer.revoke_as(owner, app, {"all": True}, Idempotency_Key=key)

        assert_problem(answer, 400, "invalid-parameter")


async def test_a_token_is_revoked_while_the_app_registry_is_down(
    issuer: IssuerUnderTest,
    registry: RegistryStandIn,
    app: RegisteredApp,
    owner: str,
) -> None:
    token = await issuer.token_of(app)
    await issuer.until_registry_is_at((await registry.log.head()).position)
    await registry.stop()
    try:
        answer = await issuer.revoke_as(owner, app, {"token": token})
        active = await is_active(issuer, app, token)
    finally:
        await registry.start()

    assert answer.status == 201
    assert not active


async def test_without_the_registry_an_unknown_administrator_is_503_and_not_401(
    issuer: IssuerUnderTest, registry: RegistryStandIn, app: RegisteredApp
) -> None:
    await registry.stop()
    try:
        answer = await issuer.revoke_as(new_access_token().text, app, {"all": True})
    finally:
        await registry.start()

    assert_problem(answer, 503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
