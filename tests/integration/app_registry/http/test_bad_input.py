"""Bad input gets a clear error, whatever it is, and nothing is lost or changed."""

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from app_registry.testing.api import Answer, Api
from app_registry.testing.requests import app_body, key_body, member_body, source_body
from tollgate.eventlog import EventLog
from tollgate.testing.waiting import until

UNUSABLE_BODIES = [
    (b"", 400),
    (b"{", 400),
    (b'{"name": "a", "name": "b"}', 400),
    (b'{"name": "\xff"}', 400),
    (b'\xef\xbb\xbf{"name": "x"}', 400),
    (b'{"name": NaN}', 400),
    (b"[" * 10_000, 400),
    (b"null", 422),
    (b"[]", 422),
    (b'"x"', 422),
    (b'{"name": 1}', 422),
    (b'{"name": null}', 422),
    (b'{"name": ["x"]}', 422),
    (b'{"name": 1' + b"0" * 4000 + b"}", 422),
    (b'{"name": 1e999}', 422),
    (b'{"unknown": 1}', 422),
    (b'{"name": "' + b"x" * 70_000 + b'"}', 413),
]


@pytest.fixture
async def paths(owner: Api) -> list[tuple[str, str]]:
    """Every route that takes a body, with things that exist."""
    source = await owner.made("/v1/sources", source_body())
    app = await owner.made("/v1/oauth-apps", app_body())
    mia = await owner.made("/v1/members", member_body({"role": "source_admin"}))
    return [
        ("POST", "/v1/members"),
        ("PUT", f"/v1/members/{mia['id']}/roles"),
        ("POST", "/v1/access-tokens"),
        ("POST", "/v1/sources"),
        ("PATCH", f"/v1/sources/{source['id']}"),
        ("POST", f"/v1/sources/{source['id']}/write-keys"),
        ("PUT", f"/v1/sources/{source['id']}/oauth-app"),
        ("PUT", f"/v1/sources/{source['id']}/enforcement"),
        ("POST", "/v1/oauth-apps"),
        ("PATCH", f"/v1/oauth-apps/{app['id']}"),
        ("POST", f"/v1/oauth-apps/{app['id']}/keys"),
    ]


async def head(log: EventLog) -> int:
    return (await log.head()).position


async def settled(owner: Api, log: EventLog) -> int:
    """The head once the use of the owner's token is recorded beside the requests."""

    async def recorded() -> bool:
        (first, *_) = (await owner.get("/v1/access-tokens")).body["data"]
        return first["last_used_on"] is not None

    await until(recorded)
    return await head(log)


async def test_a_body_that_cannot_be_read(
    owner: Api, paths: list[tuple[str, str]], log: EventLog
) -> None:
    before = await settled(owner, log)
    for method, path in paths:
        for body, status in UNUSABLE_BODIES:
            answer = await owner.call(method, path, data=body)
            assert answer.status == status, (method, path, body[:40], answer)
            assert answer.problem
    assert await head(log) == before


async def test_a_body_of_another_media_type(
    owner: Api, paths: list[tuple[str, str]], log: EventLog
) -> None:
    before = await settled(owner, log)
    for method, path in paths:
        for content_type in ("text/plain", "application/x-www-form-urlencoded", "x"):
            answer = await owner.call(
                method, path, data=b"{}", headers={"Content-Type": content_type}
            )
            assert (answer.status, answer.problem) == (415, "unsupported-media-type")
    assert await head(log) == before


async def test_parameters_that_no_route_knows(
    owner: Api, paths: list[tuple[str, str]], log: EventLog
) -> None:
    before = await settled(owner, log)
    for method, path in [*paths, ("DELETE", paths[4][1]), ("GET", "/v1/workspace")]:
        for query in ("?x=1", "?limit=1&limit=1" if method == "GET" else "?limit=1"):
            answer = await owner.call(method, path + query, data=b"{}")
            assert (answer.status, answer.problem) == (400, "invalid-parameter")
    assert await head(log) == before


SOURCE_ADMIN = {"role": "source_admin"}
NAMES = ["", " ", "x" * 101, "a\0b", "a\nb", "a\u202eb", "\u2028", " a", "a ", "\x7f"]


async def test_values_that_no_rule_accepts(owner: Api, log: EventLog) -> None:
    source = await owner.made("/v1/sources", source_body())
    app = await owner.made("/v1/oauth-apps", app_body())
    mia = await owner.made("/v1/members", member_body({"role": "source_admin"}))
    src, oauth_app = f"/v1/sources/{source['id']}", f"/v1/oauth-apps/{app['id']}"
    before = await settled(owner, log)

    async def refused(method: str, path: str, body: Any, problem: str) -> None:
        answer = await owner.call(method, path, body)
        assert (answer.status, answer.problem) == (422, problem), (path, body)

    for name in NAMES:
        wrong = "unacceptable-name"
        await refused("POST", "/v1/sources", source_body(name), wrong)
        await refused("PATCH", src, {"name": name}, wrong)
        await refused("POST", "/v1/oauth-apps", app_body(name), wrong)
        await refused("PATCH", oauth_app, {"name": name}, wrong)
        await refused("POST", f"{oauth_app}/keys", key_body(1) | {"name": name}, wrong)
        await refused("POST", "/v1/access-tokens", {"name": name}, wrong)
        await refused(
            "POST", "/v1/members", member_body(SOURCE_ADMIN, name=name), wrong
        )
    for source_type in ("", "cobol", "Python", "py\0thon"):
        await refused(
            "POST", "/v1/sources", source_body("x", source_type), "unknown-source-type"
        )
    for write_key in ("", "short", "x" * 129, "a:bcdefgh", "a\0bcdefgh", "é" * 10):
        await refused(
            "POST",
            f"{src}/write-keys",
            {"write_key": write_key},
            "unacceptable-write-key",
        )
    for lifetime in ("", "4d", "1D", "1d ", "86400", "-1d", "999999999999999d"):
        await refused(
            "POST",
            "/v1/oauth-apps",
            app_body(token_lifetime=lifetime),
            "unknown-token-lifetime",
        )
        await refused(
            "PATCH", oauth_app, {"token_lifetime": lifetime}, "unknown-token-lifetime"
        )
    for scopes in ([], ["admin"], ["tracking_api:write", ""], ["tracking_api:write "]):
        await refused(
            "POST", "/v1/oauth-apps", app_body(scopes=scopes), "unacceptable-scopes"
        )
        await refused("PATCH", oauth_app, {"scopes": scopes}, "unacceptable-scopes")
    for mode in ("", "on", "ENFORCE", 1, None, True):
        await refused("PUT", f"{src}/enforcement", {"mode": mode}, "invalid-body")
    for expiry in ("2020-01-01T00:00:00Z",):
        await refused(
            "POST",
            "/v1/access-tokens",
            {"name": "x", "expires_at": expiry},
            "unacceptable-expiry",
        )
    for expiry in ("2999-01-01T00:00:00", "tomorrow", "9999999-01-01T00:00:00Z", 1e300):
        await refused(
            "POST",
            "/v1/access-tokens",
            {"name": "x", "expires_at": expiry},
            "invalid-body",
        )
    path = f"/v1/members/{mia['id']}/roles"
    for roles in ([], [{"role": "workspace_owner", "sources": [source["id"]]}]):
        await refused("PUT", path, {"roles": roles}, "unacceptable-roles")
    await refused("PUT", path, {"roles": [{"role": "x"}]}, "invalid-body")
    assert await head(log) == before


async def test_keys_that_cannot_be_used(owner: Api, log: EventLog) -> None:
    app = await owner.made("/v1/oauth-apps", app_body())
    before = await settled(owner, log)
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    odd = ec.generate_private_key(ec.SECP256K1())
    private = ec.generate_private_key(ec.SECP256R1())
    private_pem = private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    ).decode()

    async def paste(pem: str) -> list[Answer]:
        body = {"name": "x", "pem": pem}
        return [
            await owner.post(f"/v1/oauth-apps/{app['id']}/keys", body),
            await owner.post("/v1/oauth-apps", app_body(public_key=body)),
        ]

    def pem_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
        return (
            key.public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    for pem in ("", "rubbish", "\0", pem_of(weak), pem_of(odd), "x" * 9000):
        for answer in await paste(pem):
            assert (answer.status, answer.problem) == (422, "invalid-public-key")
    for pem in (private_pem, private_pem.replace("\n", "\r\n"), f"x{private_pem}"):
        for answer in await paste(pem):
            assert (answer.status, answer.problem) == (422, "private-key-pasted")
            assert "exposed" in answer.body["detail"]
            assert private_pem.splitlines()[1] not in str(answer)
    assert await head(log) == before


async def test_a_private_key_is_not_logged(
    owner: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    private = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    secret = private.decode().splitlines()[1]
    await owner.post(
        "/v1/oauth-apps", app_body(public_key={"name": "x", "pem": private.decode()})
    )
    await owner.post("/v1/oauth-apps", {private.decode(): 1})
    await owner.post("/v1/sources", source_body("x", private.decode()))
    printed = capsys.readouterr()
    assert "private-key-pasted" in printed.out
    assert secret not in printed.out + printed.err


async def test_ids_that_nothing_has(owner: Api, log: EventLog) -> None:
    before = await settled(owner, log)
    for unknown in (
        *("x", "%00", "%0a", "%ff", "%ED%A0%80", "..%2f..", "%F0%9F%9A%80", "'--"),
        "a" * 2000,
    ):
        answers = await _ask_about(owner, unknown)
        assert {answer.status for answer in answers} == {404}, unknown
    assert await head(log) == before


async def _ask_about(owner: Api, unknown: str) -> list[Answer]:
    source = f"/v1/sources/{unknown}"
    app = f"/v1/oauth-apps/{unknown}"
    return [
        await owner.get(source),
        await owner.patch(source, {"name": "x"}),
        await owner.delete(source),
        await owner.post(f"{source}/write-keys"),
        await owner.delete(f"{source}/write-keys/{unknown}"),
        await owner.put(f"{source}/oauth-app", {"app_id": unknown}),
        await owner.delete(f"{source}/oauth-app"),
        await owner.put(f"{source}/enforcement", {"mode": "off"}),
        await owner.get(app),
        await owner.patch(app, {"name": "x"}),
        await owner.delete(f"{app}?confirm_name=x"),
        await owner.get(f"{app}/keys"),
        await owner.post(f"{app}/keys", key_body(1)),
        await owner.delete(f"{app}/keys/{unknown}"),
        await owner.put(
            f"/v1/members/{unknown}/roles", {"roles": [{"role": "source_admin"}]}
        ),
        await owner.delete(f"/v1/members/{unknown}"),
        await owner.delete(f"/v1/access-tokens/{unknown}"),
    ]


async def test_ids_in_a_body_that_nothing_has(owner: Api, log: EventLog) -> None:
    source = await owner.made("/v1/sources", source_body())
    before = await settled(owner, log)
    for unknown in ("", "x", "\0", "a" * 2000, source["id"]):
        answers = [
            await owner.put(
                f"/v1/sources/{source['id']}/oauth-app", {"app_id": unknown}
            ),
            await owner.post("/v1/access-tokens", {"name": "x", "member_id": unknown}),
        ]
        assert {answer.status for answer in answers} == {404}
    limited = {"role": "source_admin", "sources": ["\0"]}
    refused = await owner.post("/v1/members", member_body(limited))
    assert (refused.status, refused.problem) == (404, "no-such-source")
    assert await head(log) == before


async def test_headers_that_cannot_be_used(owner: Api) -> None:
    source = await owner.made("/v1/sources", source_body())
    for name, value in (
        ("If-Match", "7"),
        ("If-Match", '"1", "2"'),
        ("Idempotency-Key", ""),
        ("Idempotency-Key", "a b"),
        ("Idempotency-Key", "x" * 129),
    ):
        answer = await owner.patch(
            f"/v1/sources/{source['id']}", {"name": "x"}, {name: value}
        )
        assert (answer.status, answer.problem) == (400, "invalid-parameter")


async def test_methods_and_paths_that_there_are_not(owner: Api) -> None:
    for path in ("/v1/nothing", "/", "/v1/sources/", "/v1//sources", "/v2/sources"):
        answer = await owner.get(path)
        assert (answer.status, answer.body["type"]) == (404, "about:blank")
    answer = await owner.put("/v1/sources", {})
    assert (answer.status, answer.body["type"]) == (405, "about:blank")
    assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD", "POST"}


async def test_a_name_in_any_script_comes_back_as_it_was(owner: Api) -> None:
    for name in ("Größe", "日本語", "مثال", "🚀 app", 'Zoë\'s "app" \\ 100%'):
        app = await owner.made("/v1/oauth-apps", app_body(name))
        assert app["name"] == name
        shown = await owner.get(f"/v1/oauth-apps/{app['id']}")
        assert shown.body["name"] == name
    assert msgspec.json.encode(shown.body)
