"""What is answered in front of the application is what the application answers."""

import gc
import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from functools import partial
from urllib.parse import urlsplit

import msgspec
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from token_issuer import application
from token_issuer.grants.client_credentials import Exchange
from token_issuer.http import token_front
from token_issuer.patience import Patience
from token_issuer.settings import Settings
from token_issuer.testing.issuer import ISSUER, IssuerUnderTest, serving
from token_issuer.testing.registry import RegisteredApp
from tollgate.http import front
from tollgate.oauth.claims import decode_access_token_claims
from tollgate.oauth.client_assertion import CLIENT_ASSERTION_TYPE
from tollgate.oauth.jws import decode
from tollgate.testing.raw_http import Message, RawClient
from tollgate.testing.tokens import client_assertion
from tollgate.testing.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORM = "application/x-www-form-urlencoded"
TYPE = f"client_assertion_type={CLIENT_ASSERTION_TYPE}"


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """Both are asked what they refuse, from one address and more than once a tenth."""
    return msgspec.structs.replace(settings, failures_per_minute=10**6)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def behind(
    issuer: IssuerUnderTest, settings: Settings
) -> AsyncIterator[IssuerUnderTest]:
    """A replica of `issuer` with nothing in front of its application."""
    async with serving(settings, with_front=False) as behind:
        yield behind


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """`claims` of an assertion, signed when it is sent, with a `jti` of its own."""

    method: str
    path: str
    version: str
    headers: dict[str, str]
    claims: dict[str, object]
    form: list[str]
    cuts: list[int]

    def octets(self, app: RegisteredApp) -> bytes:
        assertion = client_assertion(
            app.key, client_id=app.id, issuer=ISSUER, now=time.time(), **self.claims
        )
        body = "&".join(self.form).replace("{assertion}", assertion)
        lines = [
            f"{self.method} {self.path} HTTP/{self.version}",
            "Host: issuer.example",
            *(f"{name}: {value}" for name, value in self.headers.items()),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", body]).encode()


def mostly(usual: object, *others: object) -> st.SearchStrategy:  # type: ignore[type-arg]
    return st.sampled_from([*[usual] * max(6, len(others)), *others])


REQUESTS = st.builds(
    Request,
    method=mostly("POST", "GET", "PUT", "HEAD"),
    path=mostly(
        "/token", "//token", "/token?", "/token?scope=x", "/%74oken", "/token/", "/x"
    ),
    version=mostly("1.1", "1.0"),
    headers=st.fixed_dictionaries(
        {"Content-Type": mostly(FORM, f"{FORM}; charset=utf-8", "text/plain", "")},
        optional={
            "X-Request-Id": mostly("from-the-client", "not fit, to be used"),
            "X-Forwarded-For": mostly("192.0.2.7", "rubbish"),
            "Authorization": mostly("Basic YTpi", "Bearer x"),
            "Content-Encoding": mostly("identity", "gzip"),
            "Connection": mostly("keep-alive", "close"),
            "Accept-Encoding": mostly("gzip"),
        },
    ),
    claims=mostly(
        {},
        {"aud": f"{ISSUER}/"},
        {"aud": "https://other.example"},
        {"iss": None},
        {"exp": 1},
        {"iat": 2**32},
        {"sub": "app_unknown"},
        {"jti": None},
    ),
    form=mostly(
        ["grant_type=client_credentials", TYPE, "client_assertion={assertion}"],
        ["client_assertion={assertion}", TYPE, "grant_type=client_credentials", "x=y"],
        ["grant_type=client_credentials", TYPE, "client_assertion={assertion}x"],
        ["grant_type=password", TYPE, "client_assertion={assertion}"],
        ["grant_type=client_credentials", "client_assertion={assertion}"],
        [*(2 * ["grant_type=client_credentials"]), TYPE],
        ["grant_type=%"],
        [],
    ).flatmap(
        lambda form: mostly(
            "scope=tracking_api:write", "scope=", "scope=a+b", None
        ).map(lambda scope: form if scope is None else [*form, scope])
    ),
    cuts=st.lists(st.integers(1, 1500), max_size=3),
)


@hypothesis_settings(
    max_examples=150,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # a smaller example tells no more here
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(request_=REQUESTS)
async def test_both_answer_alike(
    issuer: IssuerUnderTest,
    behind: IssuerUnderTest,
    app: RegisteredApp,
    request_: Request,
) -> None:
    await behind.until_registry_is_at(await registry_position(issuer))

    answers = [await ask(each, app, request_) for each in (issuer, behind)]

    assert essence(answers[0], request_) == essence(answers[1], request_)


PLAIN = Request(
    method="POST",
    path="/token",
    version="1.1",
    headers={"Content-Type": FORM},
    claims={},
    form=["grant_type=client_credentials", TYPE, "client_assertion={assertion}"],
    cuts=[],
)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"method": "PUT"},
        {"path": "//token"},
        {"path": "/token?"},
        {"version": "1.0"},
        {
            "version": "1.0",
            "headers": {"Content-Type": FORM, "Connection": "keep-alive"},
        },
        *(
            {"headers": {"Content-Type": FORM, name: value}}
            for name, value in (
                ("Authorization", "Basic YTpi"),
                ("Connection", "close"),
                ("Content-Encoding", "gzip"),
                ("Upgrade", "h2c"),
                ("X-Forwarded-For", "192.0.2.7"),
                ("X-Request-Id", "from-the-client"),
                ("X-Request-Id", "not fit, to be used"),
            )
        ),
        {"headers": {}},
        {"headers": {"Content-Type": "text/plain"}},
        {"form": [*PLAIN.form, "scope=functions:write"]},
        {"form": [*PLAIN.form, "scope=a++b"]},
        {"form": [*PLAIN.form, "client_secret=x"]},
        {"form": [*PLAIN.form, "client_id=app_other"]},
        {"form": [*PLAIN.form[:2], "client_assertion={assertion}x"]},
        {"claims": {"sub": "app_unknown"}},
        {"claims": {"exp": 1}},
        {"cuts": [20, 400]},
    ],
    ids=str,
)
async def test_one_thing_that_is_not_plain_is_answered_alike(
    issuer: IssuerUnderTest,
    behind: IssuerUnderTest,
    app: RegisteredApp,
    change: dict[str, object],
) -> None:
    await behind.until_registry_is_at(await registry_position(issuer))
    request_ = msgspec.structs.replace(PLAIN, **change)

    # The second time its head is familiar.
    answers = [await ask(each, app, request_) for each in (issuer, issuer, behind)]

    assert essence(answers[0], request_) == essence(answers[2], request_)
    assert essence(answers[1], request_) == essence(answers[2], request_)


async def test_who_sends_the_same_head_is_given_another_name(
    issuer: IssuerUnderTest, app: RegisteredApp
) -> None:
    answers = [await ask(issuer, app, PLAIN) for _ in range(3)]

    assert len({answer["X-Request-Id"] for answer in answers}) == 3


async def test_the_plain_request_is_answered_in_front(
    issuer: IssuerUnderTest, behind: IssuerUnderTest, app: RegisteredApp
) -> None:
    """Else the two would be alike because they are the same; it names the server."""
    await behind.until_registry_is_at(await registry_position(issuer))

    assert (await issuer.ask_for_token(app)).headers.get("Server") == "tollgate"
    assert "Server" not in (await behind.ask_for_token(app)).headers


async def test_a_body_that_follows_its_head_is_answered_in_front(
    issuer: IssuerUnderTest, app: RegisteredApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As requests and urllib3 send it, on which Segment's Python SDK is built."""
    monkeypatch.setattr(front, "PATIENCE_FOR_A_BODY", 60.0)
    octets = PLAIN.octets(app)
    request_ = msgspec.structs.replace(PLAIN, cuts=[octets.index(b"grant_type")])

    answer = await ask(issuer, app, request_)

    assert answer.status == 200
    assert answer["Server"] == "tollgate"


async def test_an_assertion_that_was_used_is_refused_alike(
    issuer: IssuerUnderTest, behind: IssuerUnderTest, app: RegisteredApp
) -> None:
    await behind.until_registry_is_at(await registry_position(issuer))
    refusals = []
    for each in (issuer, behind):
        form = each.token_form(app)
        assert (await each.post_form("/token", form)).status == 200
        refusals.append(await each.post_form("/token", form))

    assert [refusal.status for refusal in refusals] == [401, 401]
    assert refusals[0].json == refusals[1].json
    assert refusals[0].json["error"] == "invalid_client"


async def test_whoever_hangs_up_has_failed_as_well(
    settings: Settings, app: RegisteredApp
) -> None:
    """Else one could try as often as one likes, and not wait to be told."""
    settings = msgspec.structs.replace(settings, failures_per_minute=1)
    bad = msgspec.structs.replace(
        PLAIN, form=[*PLAIN.form[:2], "client_assertion={assertion}x"]
    )
    async with serving(settings) as issuer:
        client = await RawClient.connect(urlsplit(issuer.url).port or 0)
        await client.send(bad.octets(app))
        await client.close()
        await until(partial(has_failed, issuer))

        assert (await issuer.ask_for_token(app)).status == 429


async def has_failed(issuer: IssuerUnderTest) -> bool:
    outcome = 'requests_total{endpoint="token",outcome="invalid_client"}'
    return (await counts(issuer)).get(outcome) == 1


@pytest.mark.parametrize("claims", [{}, {"exp": 1}], ids=["a token", "a refusal"])
async def test_nobody_waits_any_more_who_was_answered(
    settings: Settings,
    app: RegisteredApp,
    claims: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the place of each would be lost, and after a thousand all be refused."""
    monkeypatch.setattr(application, "Patience", partial(Patience, max_held=2))
    async with serving(settings) as issuer:
        statuses = [
            (await issuer.post_form("/token", issuer.token_form(app, **claims))).status
            for _ in range(5)
        ]
    assert statuses == [401 if claims else 200] * 5


async def test_an_answer_has_the_date_of_when_it_is_sent(
    issuer: IssuerUnderTest, app: RegisteredApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of when it was made: the log may take long, and clocks are set by it."""
    told: list[float] = []

    class LaterAndLater:
        perf_counter = staticmethod(time.perf_counter)

        @staticmethod
        def time() -> float:
            told.append(2**31 + 60.0 * len(told))
            return told[-1]

    monkeypatch.setattr(token_front, "time", LaterAndLater)

    answer = await ask(issuer, app, PLAIN)

    assert len(told) > 1
    assert answer["Date"] == formatdate(told[-1], usegmt=True)


async def test_patience_does_not_end_with_who_was_answered(
    issuer: IssuerUnderTest, app: RegisteredApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is answered is held until it is counted, at the end of the turn."""
    count_all = token_front.TokenFront._count_all

    def count_too_late(front: token_front.TokenFront) -> None:
        for asking in front._answered:
            asking.cut_short()
        count_all(front)

    monkeypatch.setattr(token_front.TokenFront, "_count_all", count_too_late)
    client = await RawClient.connect(urlsplit(issuer.url).port or 0)
    try:
        for _ in range(2):
            await client.send(PLAIN.octets(app))
            answer = await client.answer()
            assert (answer.status, answer["Server"]) == (200, "tollgate")
    finally:
        await client.close()


async def test_a_token_leaves_nothing_for_the_collector(
    issuer: IssuerUnderTest, app: RegisteredApp
) -> None:
    """It looks for cycles seldom, and stops everybody when it does."""
    gc.collect()
    gc.disable()
    try:
        others = asked()  # kept, so that nothing new is found in their place
        await issuer.ask_for_token(app)
        await until(
            lambda: all(any(each is other for other in others) for each in asked())
        )
    finally:
        gc.enable()


def asked() -> list[object]:
    kinds = (token_front._Asking, Exchange)
    return [each for each in gc.get_objects() if type(each) in kinds]


async def test_both_count_alike(
    issuer: IssuerUnderTest, behind: IssuerUnderTest, app: RegisteredApp
) -> None:
    await behind.until_registry_is_at(await registry_position(issuer))
    grown = []
    for each in (issuer, behind):
        before = await counts(each)
        await each.ask_for_token(app)
        await each.post_form("/token", {"grant_type": "password"})
        after = await counts(each)
        grown.append({name: after[name] - before.get(name, 0) for name in after})

    in_front, in_application = grown
    assert in_front == in_application
    assert in_front['requests_total{endpoint="token",outcome="ok"}'] == 1
    assert (
        in_front['requests_total{endpoint="token",outcome="unsupported_grant_type"}']
        == 1
    )
    assert in_front['http_request_seconds_count{route="/token"}'] == 2


async def registry_position(issuer: IssuerUnderTest) -> int:
    logs = (await issuer.get("/status")).json["view"]["logs"]
    (position,) = [log["position"] for log in logs if log["log"] == "registry"]
    return int(position)


async def counts(issuer: IssuerUnderTest) -> dict[str, float]:
    """What it counts of requests for tokens, without the buckets of how long."""
    lines = (await issuer.get("/metrics")).body.decode().splitlines()
    parted = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {
        name.replace("token_issuer_", "").replace("tollgate_", ""): float(value)
        for name, _, value in parted
        if 'token"' in name and not {"_bucket", "_sum", "_created"} & set(ends_of(name))
    }


def ends_of(name: str) -> list[str]:
    plain = name.partition("{")[0]
    return [end for end in ("_bucket", "_sum", "_created") if plain.endswith(end)]


async def ask(issuer: IssuerUnderTest, app: RegisteredApp, request: Request) -> Message:
    octets = request.octets(app)
    client = await RawClient.connect(urlsplit(issuer.url).port or 0)
    try:
        start = 0
        for cut in sorted(request.cuts):
            await client.send(octets[start:cut])
            start = max(start, cut)
        await client.send(octets[start:])
        if request.method == "HEAD":
            return Message((await client.reader.readline()).decode(), [], b"")
        return await client.answer()
    finally:
        await client.close()


def essence(answer: Message, request: Request) -> object:
    """What may not differ: all but names, times and the signature."""
    fields = {
        name: value
        for name, value in answer.fields
        if name not in {"Date", "Server", "Content-Length"}
    }
    assert answer.body == b"" or int(answer["Content-Length"]) == len(answer.body)
    assert answer.all("Date") or request.method == "HEAD"
    if fields.get("X-Request-Id") != request.headers.get("X-Request-Id"):
        fields["X-Request-Id"] = f"{len(fields.get('X-Request-Id', ''))} characters"
    body = msgspec.json.decode(answer.body) if answer.body else None
    if "access_token" in (body or {}):
        jws = decode(body.pop("access_token"))
        claims = decode_access_token_claims(jws.payload)
        plain = msgspec.structs.replace(
            claims, jti="", iat=0, exp=claims.exp - claims.iat
        )
        body["access_token"] = (jws.header, plain)
    return answer.start_line, fields, body
