"""Metadata (RFC 8414) and the JWK Set (RFC 7517), as a client finds them."""

import pytest

from token_issuer.testing.issuer import ISSUER, IssuerUnderTest

pytestmark = pytest.mark.asyncio(loop_scope="module")

METADATA = "/.well-known/oauth-authorization-server"
JWKS = "/.well-known/jwks.json"


async def test_the_metadata_names_the_issuer_byte_for_byte(
    issuer: IssuerUnderTest,
) -> None:
    answer = await issuer.get(METADATA)

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json["issuer"] == ISSUER
    assert answer.json["jwks_uri"] == f"{ISSUER}{JWKS}"
    assert answer.json["grant_types_supported"] == ["client_credentials"]
    assert None not in answer.json.values()
    assert [] not in answer.json.values()


async def test_every_endpoint_that_is_told_is_there(issuer: IssuerUnderTest) -> None:
    told = (await issuer.get(METADATA)).json

    for name in ("token", "revocation", "introspection"):
        path = told[f"{name}_endpoint"].removeprefix(ISSUER)
        assert (await issuer.post_form(path, {})).status in {400, 401}
    assert (await issuer.get(told["jwks_uri"].removeprefix(ISSUER))).status == 200


async def test_the_keys_are_public_and_each_is_for_one_thing(
    issuer: IssuerUnderTest,
) -> None:
    """The key that signs, and the one that will: verifiers know it in advance."""
    answer = await issuer.get(JWKS)

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert "no-store" not in answer.headers["Cache-Control"]
    keys = answer.json["keys"]
    assert len({key["kid"] for key in keys}) == len(keys) == 2
    for key in keys:
        assert set(key) == {"kty", "kid", "use", "alg", "crv", "x", "y"}
        assert (key["use"], key["alg"], key["crv"]) == ("sig", "ES256", "P-256")


@pytest.mark.parametrize("path", [METADATA, JWKS])
async def test_they_are_read_only(issuer: IssuerUnderTest, path: str) -> None:
    answer = await issuer.request("POST", path)

    assert answer.status == 405
    assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD"}
    assert set(answer.json) == {"error", "error_description"}


async def test_no_answer_tells_what_serves_it(issuer: IssuerUnderTest) -> None:
    for path in (METADATA, JWKS, "/livez", "/nowhere"):
        assert "Server" not in (await issuer.get(path)).headers


async def test_health_and_metrics(issuer: IssuerUnderTest) -> None:
    await issuer.post_form("/token", {})

    assert (await issuer.get("/livez")).status == 200
    assert (await issuer.get("/readyz")).status == 200
    metrics = (await issuer.get("/metrics")).body.decode()
    assert (
        'token_issuer_requests_total{endpoint="token",outcome="invalid_request"}'
        in metrics
    )
    assert "token_issuer_can_sign 1.0" in metrics
    assert 'tollgate_log_ready{log="registry"} 1.0' in metrics


async def test_the_request_id_of_the_client_comes_back(issuer: IssuerUnderTest) -> None:
    answer = await issuer.post_form("/token", {}, headers={"X-Request-Id": "abc-1"})

    assert answer.headers["X-Request-Id"] == "abc-1"
