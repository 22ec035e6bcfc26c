"""Every error of a server is a problem, and tells no more than it should."""

from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from tollgate.errors import DomainError, Unavailable
from tollgate.http.bodies import json_response, read_json
from tollgate.http.health import Health
from tollgate.http.problems import ProblemType, problem_middleware
from tollgate.http.request_ids import name_requests


class Full(DomainError):
    pass


class VeryFull(Full):
    pass


class Unforeseen(DomainError):
    pass


class Stranger(DomainError):
    pass


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    name: str


REFUSALS = {
    Full: ProblemType("full", 409, "It is full", "Make room."),
    Stranger: ProblemType("stranger", 401, "Who are you?", "Say it."),
}


async def post(request: web.Request) -> web.Response:
    thing = await read_json(request, Thing)
    match thing.name:
        case "full":
            raise Full("no room for another")
        case "very full":
            raise VeryFull("no room for another")
        case "unforeseen":
            raise Unforeseen("secret of ours")
        case "slow":
            raise TimeoutError
        case "stranger":
            raise Stranger("say who you are")
        case "down":
            raise Unavailable("the store is down", retry_after=timedelta(seconds=2.5))
        case "bug":
            raise RuntimeError("secret of ours")
        case _:
            return json_response(thing, status=201)


@pytest.fixture
async def client() -> AsyncIterator[TestClient]:
    application = web.Application(
        middlewares=[name_requests, problem_middleware(REFUSALS, realm="tests")],
        client_max_size=1000,
    )
    application.router.add_post("/things", post)
    health = Health(is_ready=lambda: False, metrics=CollectorRegistry())
    application.add_routes(health.routes())
    async with TestClient(TestServer(application)) as client:
        yield client


async def problem_of(client: TestClient, **request: object) -> tuple[dict, object]:
    async with client.post("/things", **request) as response:
        assert response.content_type == "application/problem+json"
        problem = msgspec.json.decode(await response.read())
        assert problem["status"] == response.status
        assert problem["request_id"] == response.headers["X-Request-Id"]
        return problem, response.headers


async def test_what_is_right_is_answered(client: TestClient) -> None:
    async with client.post(
        "/things", json={"name": "x"}, headers={"X-Request-Id": "mine"}
    ) as response:
        assert response.status == 201
        assert await response.json() == {"name": "x"}
        assert response.headers["X-Request-Id"] == "mine"


async def test_a_refusal_has_its_type(client: TestClient) -> None:
    problem, _ = await problem_of(client, json={"name": "full"})
    assert problem["type"] == "urn:tollgate:problem:full"
    assert (problem["status"], problem["title"]) == (409, "It is full")
    assert problem["detail"] == "no room for another"


async def test_a_kind_of_a_refusal_is_answered_as_that(client: TestClient) -> None:
    problem, _ = await problem_of(client, json={"name": "very full"})
    assert problem["type"] == "urn:tollgate:problem:full"


async def test_a_refusal_that_nobody_foresaw_is_a_fault(client: TestClient) -> None:
    problem, _ = await problem_of(client, json={"name": "unforeseen"})
    assert problem["status"] == 500
    assert "secret" not in str(problem)


async def test_a_deadline_that_passed_is_passing_trouble(client: TestClient) -> None:
    problem, headers = await problem_of(client, json={"name": "slow"})
    assert problem["status"] == 503
    assert headers["Retry-After"] == "1"


async def test_a_401_asks_for_a_credential(client: TestClient) -> None:
    _, headers = await problem_of(client, json={"name": "stranger"})
    assert headers["WWW-Authenticate"] == 'Bearer realm="tests"'


async def test_passing_trouble_says_when_to_come_back(client: TestClient) -> None:
    problem, headers = await problem_of(client, json={"name": "down"})
    assert problem["status"] == 503
    assert headers["Retry-After"] == "3"


async def test_a_fault_of_ours_tells_nothing(client: TestClient) -> None:
    problem, _ = await problem_of(client, json={"name": "bug"})
    assert problem["status"] == 500
    assert "secret" not in str(problem)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"data": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
        (
            {
                "data": b"{}",
                "headers": {"Content-Type": "application/json; charset=latin-1"},
            },
            415,
        ),
        (
            {
                "data": b"{}",
                "headers": {
                    "Content-Type": "application/json",
                    "Content-Encoding": "gzip",
                },
            },
            415,
        ),
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"json": {}}, 422),
        ({"json": {"name": "x" * 2000}}, 413),
    ],
)
async def test_a_body_that_cannot_be_used(
    client: TestClient, request_: dict, status: int
) -> None:
    problem, _ = await problem_of(client, **request_)
    assert problem["status"] == status
    assert problem["type"].startswith("urn:tollgate:problem:")


async def test_the_routers_own_errors_are_problems(client: TestClient) -> None:
    async with client.get("/nowhere") as response:
        assert response.status == 404
        assert response.content_type == "application/problem+json"
    async with client.get("/things") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert response.content_type == "application/problem+json"


async def test_a_process_may_be_alive_and_not_ready(client: TestClient) -> None:
    async with client.get("/livez") as response:
        assert response.status == 200
    async with client.get("/readyz") as response:
        assert response.status == 503
    async with client.get("/metrics") as response:
        assert response.status == 200
