"""Random commands against the API, a model and the fold of the log: the three agree.

The model is written from the rules of a workspace, not from the code that keeps them:
it says of every command what must come of it, before it is sent.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import pytest
from aiohttp import ClientSession
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)
from tests.integration.app_registry.conftest import (
    make_owner,
    registry_process,
)

from app_registry import bootstrap
from app_registry.testing.api import Answer, Api
from local_stack.databases import Database, temporary_database
from tollgate.database import open_pool
from tollgate.eventlog import open_event_log
from tollgate.oauth.algorithms import Algorithm
from tollgate.registry.state import RegistryState
from tollgate.settings import Secret
from tollgate.testing.keys import signing_key

T = TypeVar("T")

WITH_OAUTH = {"http-api", "node-js", "python"}
TYPES = [*4 * sorted(WITH_OAUTH), "java", "pixel-tracking-api", "no-such-type"]
SCOPES = ["tracking_api:write", "functions:write", "public_api:read_write"]
LIFETIMES = ["1d", "2d", "3d", "1w", "2w", "3w", "30d"]
GOOD_NAME = ["Checkout", "Web é", "x" * 100]
NAMES = st.sampled_from(
    [*10 * GOOD_NAME, "", " padded ", "x" * 101, "two\nlines", "nul\0"]
)
GOOD_WRITE_KEYS = ["first-key", "second-key", "third-key"]
WRITE_KEYS = st.sampled_from([*3 * GOOD_WRITE_KEYS, "short", "with:colon", "ключключ"])
SOME_LIFETIMES = st.sampled_from([*2 * LIFETIMES, "60d"])
SOME_SCOPES = st.sets(st.sampled_from(SCOPES), min_size=1) | st.sampled_from(
    [set(), {"everything"}]
)


@cache
def pem(number: int) -> str:
    return signing_key(Algorithm.ES256, number).public.pem


@dataclass
class Source:
    """A source as the model has it."""

    name: str
    type: str
    write_keys: list[str] = field(default_factory=list)
    app: str | None = None
    enforcement: str = "off"


@dataclass
class App:
    """An OAuth app as the model has it; `keys` by the number of their PEM."""

    name: str
    lifetime: str
    scopes: set[str]
    keys: list[str] = field(default_factory=list)


class Server:
    """A real registry, asked from a machine that knows no asyncio."""

    def __init__(self, postgres_url: str, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._numbers = count(1)
        self.database: Database
        self.run(self._open(postgres_url, folder))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(asyncio.wait_for(work, 30))

    def close(self) -> None:
        self.run(self._stack.aclose())
        self._loop.close()

    def new_owner(self) -> Api:
        """The owner of an empty workspace."""
        return self.run(self._new_owner())

    def fold(self) -> RegistryState:
        return self.run(self._fold())

    async def _open(self, postgres_url: str, folder: Path) -> None:
        enter = self._stack.enter_async_context
        self.database = await enter(temporary_database(postgres_url))
        await bootstrap.migrate(
            Secret(self.database.owner_url), Secret(self.database.service_url)
        )
        self._session = await enter(ClientSession())
        # A process: beside hypothesis, a thread that compiles code trips CPython 3.11.
        process = registry_process(self.database, folder)
        self._stack.callback(process.discard)
        process.start()
        self._url = process.url

    async def _new_owner(self) -> Api:
        name = f"Workspace {next(self._numbers)}"
        return Api(self._session, self._url, await make_owner(self.database, name))

    async def _fold(self) -> RegistryState:
        state, url = RegistryState(), self.database.service_url
        async with (
            open_pool(url, application_name="t") as pool,
            open_event_log("registry", pool, url) as log,
        ):
            await log.verify()
            async for page in log.pages():
                for recorded in page:
                    state.apply(recorded)
        return state


@pytest.fixture(scope="module")
def server(
    postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    running = Server(postgres_url, tmp_path_factory.mktemp("model"))
    yield running
    running.close()


class Registry(RuleBasedStateMachine):
    """One workspace. `server` is set by the test."""

    server: Server
    sources = Bundle("sources")
    apps = Bundle("apps")

    def __init__(self) -> None:
        super().__init__()
        self.owner = self.server.new_owner()
        self.stranger = self.server.new_owner()
        self.model_sources: dict[str, Source] = {}
        self.model_apps: dict[str, App] = {}
        self.claimed: set[str] = set()

    @initialize(target=sources)
    def one_source(self) -> Any:
        return self.create_source("Checkout", "python")

    @initialize(target=apps)
    def one_app(self) -> Any:
        return self.create_app("Web é", 0, "1d", {"tracking_api:write"})

    # --- asking ---

    def call(self, *arguments: Any) -> Answer:
        return self.server.run(self.owner.call(*arguments))

    def expect(self, answer: Answer, *expected: int | str) -> bool:
        """The status, or the slug of the problem; True if the command was done."""
        if answer.status < 400:
            assert answer.status in expected, (answer, expected)
            return True
        assert answer.problem in expected, (answer, expected)
        return False

    # --- sources ---

    @rule(target=sources, name=NAMES, kind=st.sampled_from(TYPES))
    def create_source(self, name: str, kind: str) -> Any:
        answer = self.call("POST", "/v1/sources", {"name": name, "type": kind})
        problems = []
        if name not in GOOD_NAME:
            problems.append("unacceptable-name")
        if kind == "no-such-type":
            problems.append("unknown-source-type")
        if not self.expect(answer, *(problems or [201])):
            return multiple()
        self.model_sources[answer.body["id"]] = Source(name, kind)
        return answer.body["id"]

    @rule(source=sources, name=NAMES)
    def rename_source(self, source: str, name: str) -> None:
        answer = self.call("PATCH", f"/v1/sources/{source}", {"name": name})
        known = self.model_sources.get(source)
        if known is None:
            self.expect(answer, "no-such-source")
        elif name not in GOOD_NAME:
            self.expect(answer, "unacceptable-name")
        else:
            self.expect(answer, 200)
            known.name = name

    @rule(source=sources)
    def delete_source(self, source: str) -> None:
        answer = self.call("DELETE", f"/v1/sources/{source}")
        known = self.model_sources.get(source)
        if known is None:
            self.expect(answer, "no-such-source")
        elif known.app is not None:
            self.expect(answer, "source-still-connected")
        else:
            self.expect(answer, 204)
            del self.model_sources[source]

    @rule(source=sources, write_key=WRITE_KEYS)
    def add_write_key(self, source: str, write_key: str) -> None:
        # Write keys are one per deployment, so each workspace has its own.
        own = write_key
        if write_key in GOOD_WRITE_KEYS:
            own = f"{write_key}-{self.owner.access_token[3:12]}"
        answer = self.call(
            "POST", f"/v1/sources/{source}/write-keys", {"write_key": own}
        )
        known = self.model_sources.get(source)
        if known is None:
            self.expect(answer, "no-such-source")
        elif write_key not in GOOD_WRITE_KEYS:
            self.expect(answer, "unacceptable-write-key")
        elif own in self.claimed:
            self.expect(answer, "write-key-taken")
        else:
            self.expect(answer, 201)
            known.write_keys.append(own)
            self.claimed.add(own)

    @rule(source=sources, place=st.integers(0, 2))
    def delete_write_key(self, source: str, place: int) -> None:
        known = self.model_sources.get(source)
        held = known.write_keys if known else []
        write_key = held[place] if place < len(held) else "not-held-here"
        answer = self.call("DELETE", f"/v1/sources/{source}/write-keys/{write_key}")
        if known is None:
            self.expect(answer, "no-such-source")
        elif write_key not in held:
            self.expect(answer, "no-such-write-key")
        else:
            self.expect(answer, 204)
            held.remove(write_key)

    # --- apps ---

    @rule(
        target=apps,
        name=NAMES,
        key=st.integers(0, 3),
        lifetime=SOME_LIFETIMES,
        scopes=SOME_SCOPES,
    )
    def create_app(self, name: str, key: int, lifetime: str, scopes: set[str]) -> Any:
        answer = self.call(
            "POST",
            "/v1/oauth-apps",
            {
                "name": name,
                "public_key": {"name": "first", "pem": pem(key)},
                "token_lifetime": lifetime,
                "scopes": sorted(scopes),
            },
        )
        problems = []
        if name not in GOOD_NAME:
            problems.append("unacceptable-name")
        if lifetime not in LIFETIMES:
            problems.append("unknown-token-lifetime")
        if not scopes or not scopes <= set(SCOPES):
            problems.append("unacceptable-scopes")
        if not self.expect(answer, *(problems or [201])):
            return multiple()
        kid = answer.body["keys"][0]["kid"]
        self.model_apps[answer.body["id"]] = App(name, lifetime, scopes, [kid])
        return answer.body["id"]

    @rule(app=apps, lifetime=SOME_LIFETIMES, scopes=SOME_SCOPES)
    def edit_app(self, app: str, lifetime: str, scopes: set[str]) -> None:
        answer = self.call(
            "PATCH",
            f"/v1/oauth-apps/{app}",
            {"token_lifetime": lifetime, "scopes": sorted(scopes)},
        )
        known = self.model_apps.get(app)
        problems = []
        if lifetime not in LIFETIMES:
            problems.append("unknown-token-lifetime")
        if not scopes or not scopes <= set(SCOPES):
            problems.append("unacceptable-scopes")
        if known is None:
            self.expect(answer, "no-such-oauth-app", *problems)
        elif problems:
            self.expect(answer, *problems)
        else:
            self.expect(answer, 200)
            known.lifetime, known.scopes = lifetime, scopes

    @rule(app=apps, right=st.booleans())
    def delete_app(self, app: str, *, right: bool) -> None:
        known = self.model_apps.get(app)
        name = known.name if known and right else "another"
        answer = self.server.run(self._delete_app(app, name))
        problems = []
        if known is not None and name != known.name:
            problems.append("name-not-confirmed")
        if any(source.app == app for source in self.model_sources.values()):
            problems.append("oauth-app-still-connected")
        if known is None:
            self.expect(answer, "no-such-oauth-app")
        elif self.expect(answer, *(problems or [204])):
            del self.model_apps[app]

    async def _delete_app(self, app: str, name: str) -> Answer:
        return await self.owner.delete(
            f"/v1/oauth-apps/{app}?confirm_name={quote(name)}"
        )

    @rule(app=apps, key=st.integers(0, 3))
    def add_key(self, app: str, key: int) -> None:
        answer = self.call(
            "POST", f"/v1/oauth-apps/{app}/keys", {"name": "next", "pem": pem(key)}
        )
        known = self.model_apps.get(app)
        if known is None:
            self.expect(answer, "no-such-oauth-app")
            return
        kid = signing_key(Algorithm.ES256, key).kid
        problems = []
        if kid in known.keys:
            problems.append("key-already-held")
        if len(known.keys) == 2:
            problems.append("too-many-keys")
        if self.expect(answer, *(problems or [201])):
            known.keys.append(kid)

    @rule(app=apps, place=st.integers(0, 1), keep=st.booleans())
    def delete_key(self, app: str, place: int, *, keep: bool) -> None:
        known = self.model_apps.get(app)
        held = known.keys if known else []
        kid = held[place] if place < len(held) else "no-such-kid"
        answer = self.call(
            "DELETE",
            f"/v1/oauth-apps/{app}/keys/{kid}?keep_tokens={str(keep).lower()}",
        )
        if known is None:
            self.expect(answer, "no-such-oauth-app")
        elif kid not in held:
            self.expect(answer, "no-such-key")
        else:
            self.expect(answer, 204)
            held.remove(kid)

    # --- connections ---

    @rule(source=sources, app=apps)
    def connect(self, source: str, app: str) -> None:
        answer = self.call("PUT", f"/v1/sources/{source}/oauth-app", {"app_id": app})
        known = self.model_sources.get(source)
        if known is None:
            self.expect(answer, "no-such-source")
        elif app not in self.model_apps:
            self.expect(answer, "no-such-oauth-app")
        elif known.type not in WITH_OAUTH:
            self.expect(answer, "source-type-without-oauth")
        elif known.app not in (None, app):
            self.expect(answer, "source-has-another-app")
        else:
            self.expect(answer, 200)
            known.app = app

    @rule(source=sources)
    def disconnect(self, source: str) -> None:
        answer = self.call("DELETE", f"/v1/sources/{source}/oauth-app")
        known = self.model_sources.get(source)
        if known is None:
            self.expect(answer, "no-such-source")
        elif known.enforcement != "off":
            self.expect(answer, "enforcement-still-on")
        else:
            self.expect(answer, 204)
            known.app = None

    @rule(source=sources, mode=st.sampled_from(["off", "report", "enforce"]))
    def enforce(self, source: str, mode: str) -> None:
        answer = self.call("PUT", f"/v1/sources/{source}/enforcement", {"mode": mode})
        known = self.model_sources.get(source)
        if known is None:
            self.expect(answer, "no-such-source")
        elif known.app is None and mode != "off":
            self.expect(answer, "source-has-no-app")
        else:
            self.expect(answer, 200)
            known.enforcement = mode

    @rule(source=sources, app=apps, mode=st.sampled_from(["report", "enforce"]))
    def try_to_leave_in_the_wrong_order(self, source: str, app: str, mode: str) -> None:
        """What single commands rarely reach: all that a connection forbids."""
        self.connect(source, app)
        self.enforce(source, mode)
        self.disconnect(source)
        self.delete_source(source)
        self.delete_app(app, right=True)

    # --- what must hold ---

    @rule(source=sources)
    def strangers_see_nothing(self, source: str) -> None:
        answer = self.server.run(self.stranger.get(f"/v1/sources/{source}"))
        assert answer.problem == "no-such-source"

    @rule()
    def the_api_shows_the_model(self) -> None:
        sources = self.server.run(all_of(self.owner.get, "/v1/sources"))
        shown = {each["id"]: seen_source(each) for each in sources}
        assert shown == self.model_sources
        apps = self.server.run(all_of(self.owner.get, "/v1/oauth-apps"))
        assert {each["id"]: seen_app(each) for each in apps} == self.model_apps

    def teardown(self) -> None:
        self.the_api_shows_the_model()
        state = self.server.fold()
        workspace = self.server.run(self.owner.get("/v1/workspace")).body["id"]
        folded = {
            source.id: Source(
                source.name,
                source.source_type,
                list(source.write_keys),
                source.app_id,
                source.enforcement.value,
            )
            for source in state.sources.values()
            if source.workspace_id == workspace and source.exists
        }
        assert folded == self.model_sources
        live = {
            app.id: app
            for app in state.apps.values()
            if app.workspace_id == workspace and app.exists
        }
        assert {key: list(app.keys) for key, app in live.items()} == {
            key: app.keys for key, app in self.model_apps.items()
        }
        for key, app in live.items():
            assert app.name == self.model_apps[key].name
            assert app.scopes == self.model_apps[key].scopes
            assert set(app.sources) == {
                name for name, source in self.model_sources.items() if source.app == key
            }


async def all_of(get: Callable[[str], Awaitable[Answer]], path: str) -> list[Any]:
    """Every item of a listing, page by page."""
    found: list[Any] = []
    cursor = ""
    while True:
        answer = await get(f"{path}?limit=3{cursor}")
        assert answer.status == 200, answer
        found += answer.body["data"]
        if answer.body["next_cursor"] is None:
            return found
        cursor = f"&cursor={answer.body['next_cursor']}"


def seen_source(shown: dict[str, Any]) -> Source:
    return Source(
        shown["name"],
        shown["type"],
        shown["write_keys"],
        shown["app_id"],
        shown["enforcement"],
    )


def seen_app(shown: dict[str, Any]) -> App:
    return App(
        shown["name"],
        shown["token_lifetime"],
        set(shown["scopes"]),
        [key["kid"] for key in shown["keys"]],
    )


def test_commands_model_and_log_agree(server: Server) -> None:
    machine = type("RegistryOfThisRun", (Registry,), {"server": server})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            phases=(Phase.reuse, Phase.generate),  # shrinking takes minutes here
            suppress_health_check=list(HealthCheck),
        ),
    )
