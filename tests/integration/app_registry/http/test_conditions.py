"""Entity tags, idempotency keys, pages, and replicas that know of each other."""

import asyncio

import msgspec
import pytest
from aiohttp import ClientSession
from tests.integration.app_registry.conftest import serving, settings_for

from app_registry.testing.api import Answer, Api
from app_registry.testing.requests import app_body, key_body, kid_of, source_body
from local_stack.databases import Database
from tollgate.eventlog import EventLog
from tollgate.events import EventMetadata
from tollgate.testing.waiting import until

KEY = {"Idempotency-Key": "order-1"}


class TestEntityTags:
    async def test_only_the_version_that_was_read_is_changed(self, owner: Api) -> None:
        source = await owner.made("/v1/sources", source_body())
        path = f"/v1/sources/{source['id']}"
        read = await owner.get(path)
        first = await owner.patch(path, {"name": "A"}, {"If-Match": read.etag})
        assert first.status == 200
        second = await owner.patch(path, {"name": "B"}, {"If-Match": read.etag})
        assert (second.status, second.problem) == (412, "version-differs")
        third = await owner.patch(path, {"name": "B"}, {"If-Match": first.etag})
        assert third.status == 200
        assert (await owner.get(path)).etag == third.etag

    async def test_whoever_does_not_mind_may_say_so(self, owner: Api) -> None:
        source = await owner.made("/v1/sources", source_body())
        path = f"/v1/sources/{source['id']}"
        assert (await owner.delete(path, {"If-Match": "*"})).status == 204
        assert (await owner.delete(path, {"If-Match": "*"})).status == 404

    async def test_a_tag_from_elsewhere_matches_nothing(self, owner: Api) -> None:
        app = await owner.made("/v1/oauth-apps", app_body())
        path = f"/v1/oauth-apps/{app['id']}"
        for tag in ('W/"2"', '"x"', '"02"', '"3"'):
            for answer in (
                await owner.patch(path, {"name": "A"}, {"If-Match": tag}),
                await owner.delete(f"{path}?confirm_name=Shop", {"If-Match": tag}),
                await owner.post(f"{path}/keys", key_body(1), {"If-Match": tag}),
                await owner.delete(f"{path}/keys/{kid_of(0)}", {"If-Match": tag}),
            ):
                assert (answer.status, answer.problem) == (412, "version-differs")
        assert (await owner.get(path)).body == app


class TestIdempotencyKeys:
    async def test_a_repeated_request_is_answered_as_the_first(
        self, owner: Api, log: EventLog
    ) -> None:
        first = await owner.post("/v1/oauth-apps", app_body(), KEY)
        await owner.patch(f"/v1/oauth-apps/{first.body['id']}", {"name": "Later"})
        again = await owner.post("/v1/oauth-apps", app_body(), KEY)
        assert (again.status, again.body) == (201, first.body)
        assert again.etag == first.etag
        assert again.headers["Location"] == first.headers["Location"]
        assert "Idempotency-Replayed" not in first.headers
        assert again.headers["Idempotency-Replayed"] == "true"
        assert len((await owner.get("/v1/oauth-apps")).body["data"]) == 1

    async def test_also_by_another_process_later(
        self, owner: Api, registry_database: Database, session: ClientSession
    ) -> None:
        app = await owner.made("/v1/oauth-apps", app_body())
        path = f"/v1/oauth-apps/{app['id']}?confirm_name=Shop"
        source = await owner.post("/v1/sources", source_body(), KEY)
        assert (await owner.delete(path, {"Idempotency-Key": "d"})).status == 204
        async with serving(settings_for(registry_database)) as url:
            later = Api(session, url, owner.access_token)
            again = await later.post("/v1/sources", source_body(), KEY)
            assert (again.status, again.body) == (201, source.body)
            assert (await later.delete(path, {"Idempotency-Key": "d"})).status == 204
            assert (await later.delete(path)).status == 404

    async def test_a_generated_write_key_is_the_same_one(self, owner: Api) -> None:
        source = await owner.made("/v1/sources", source_body())
        path = f"/v1/sources/{source['id']}/write-keys"
        first = await owner.post(path, {}, KEY)
        assert (await owner.post(path, {})).body != first.body
        assert (await owner.post(path, {}, KEY)).body == first.body

    async def test_a_secret_is_not_repeated(self, owner: Api) -> None:
        first = await owner.post("/v1/access-tokens", {"name": "ci"}, KEY)
        again = await owner.post("/v1/access-tokens", {"name": "ci"}, KEY)
        assert (first.status, again.status) == (201, 201)
        assert "access_token" in first.body
        assert "access_token" not in again.body
        assert again.body["id"] == first.body["id"]

    async def test_a_key_is_for_one_request(self, owner: Api) -> None:
        await owner.post("/v1/sources", source_body(), KEY)
        for answer in (
            await owner.post("/v1/sources", source_body("Other"), KEY),
            await owner.post("/v1/oauth-apps", app_body(), KEY),
        ):
            assert (answer.status, answer.problem) == (422, "idempotency-key-reused")

    async def test_a_key_is_its_actors_own(self, owner: Api, stranger: Api) -> None:
        first = await owner.post("/v1/sources", source_body(), KEY)
        other = await stranger.post("/v1/sources", source_body(), KEY)
        assert other.status == 201
        assert other.body["id"] != first.body["id"]

    async def test_a_refused_command_leaves_the_key_free(self, owner: Api) -> None:
        refused = await owner.post("/v1/sources", source_body(""), KEY)
        assert refused.status == 422
        assert (await owner.post("/v1/sources", source_body(), KEY)).status == 201

    async def test_many_at_once_are_one(self, owner: Api) -> None:
        answers = await asyncio.gather(
            *(owner.post("/v1/sources", source_body(), KEY) for _ in range(20))
        )
        assert {answer.status for answer in answers} == {201}
        assert len({answer.body["id"] for answer in answers}) == 1
        assert len((await owner.get("/v1/sources")).body["data"]) == 1

    async def test_the_event_knows_who_asked(self, owner: Api, log: EventLog) -> None:
        headers = {**KEY, "X-Request-Id": "ticket-7"}
        source = await owner.post("/v1/sources", source_body(), headers)
        (recorded,) = await log.load(f"source-{source.body['id']}")
        metadata = msgspec.json.decode(recorded.metadata, type=EventMetadata)
        (olga,) = (await owner.get("/v1/members")).body["data"]
        assert metadata.actor == f"member-{olga['id']}"
        assert metadata.request_id == "ticket-7"
        assert metadata.client_address == "127.0.0.1"
        assert metadata.command_id == f"member-{olga['id']}:order-1"


class TestPages:
    async def test_follow_each_other_without_a_gap(self, owner: Api) -> None:
        made = [
            (await owner.made("/v1/sources", source_body(f"s{n}")))["id"]
            for n in range(7)
        ]
        pages = await pages_of(owner, "/v1/sources", 3)
        assert pages == [made[:3], made[3:6], made[6:]]

    async def test_an_exact_page_is_the_last(self, owner: Api) -> None:
        for n in range(4):
            await owner.made("/v1/sources", source_body(f"s{n}"))
        assert [len(page) for page in await pages_of(owner, "/v1/sources", 2)] == [2, 2]

    async def test_do_not_move_when_something_goes(self, owner: Api) -> None:
        made = [
            (await owner.made("/v1/sources", source_body(f"s{n}")))["id"]
            for n in range(6)
        ]
        first = await owner.get("/v1/sources?limit=3")
        for gone in (made[0], made[2], made[3]):
            await owner.delete(f"/v1/sources/{gone}")
        cursor = first.body["next_cursor"]
        second = await owner.get(f"/v1/sources?limit=3&cursor={cursor}")
        assert [each["id"] for each in second.body["data"]] == made[4:]

    async def test_are_asked_for_properly(self, owner: Api) -> None:
        for query in ("limit=0", "limit=1001", "limit=x", "cursor=x", "cursor="):
            answer = await owner.get(f"/v1/sources?{query}")
            assert (answer.status, answer.problem) == (400, "invalid-parameter")


async def pages_of(api: Api, path: str, limit: int) -> list[list[str]]:
    pages, cursor = [], ""
    while True:
        page = (await api.get(f"{path}?limit={limit}{cursor}")).body
        pages.append([each["id"] for each in page["data"]])
        if page["next_cursor"] is None:
            return pages
        cursor = f"&cursor={page['next_cursor']}"


async def test_every_replica_knows_of_every_write_before(
    owner: Api, registry_database: Database, session: ClientSession
) -> None:
    async with serving(settings_for(registry_database)) as url:
        other = Api(session, url, owner.access_token)
        for n in range(50):
            source = await owner.made("/v1/sources", source_body(f"s{n}"))
            seen: Answer = await other.get(f"/v1/sources/{source['id']}")
            assert (seen.status, seen.body) == (200, source)
            token = await other.made("/v1/access-tokens", {"name": f"t{n}"})
            own = owner.as_(token["access_token"])
            assert (await own.get("/v1/workspace")).status == 200
            await other.delete(f"/v1/access-tokens/{token['id']}")
            assert (await own.get("/v1/workspace")).status == 401


@pytest.mark.parametrize("replicas", [2])
async def test_a_token_is_noted_as_used_once_a_day(
    owner: Api,
    registry_database: Database,
    session: ClientSession,
    log: EventLog,
    replicas: int,
) -> None:
    async with serving(settings_for(registry_database)) as url:
        other = Api(session, url, owner.access_token)
        for _ in range(20):
            await asyncio.gather(*(api.get("/v1/workspace") for api in (owner, other)))

        async def used() -> dict[str, str] | None:
            (first,) = (await other.get("/v1/access-tokens")).body["data"]
            return first if first["last_used_on"] is not None else None

        first = await until(used)
        await asyncio.gather(*(api.get("/v1/workspace") for api in (owner, other)))
    events = await log.load(f"access_token-{first['id']}")
    assert [each.type for each in events] == [
        "access_token.issued",
        "access_token.used",
    ]
