"""What the issuer tells of itself (RFC 8414)."""

import msgspec
import pytest

from token_issuer.http.discovery import metadata_path
from token_issuer.metadata import metadata_of

ISSUER = "https://issuer.example/oauth"


def document(**options: bool) -> dict[str, object]:
    metadata = metadata_of(ISSUER, **{"services_may_introspect": False, **options})
    read: dict[str, object] = msgspec.json.decode(msgspec.json.encode(metadata))
    return read


def test_every_endpoint_is_below_the_issuer() -> None:
    told = document()

    assert told["issuer"] == ISSUER
    assert told["token_endpoint"] == f"{ISSUER}/token"
    assert told["revocation_endpoint"] == f"{ISSUER}/revoke"
    assert told["introspection_endpoint"] == f"{ISSUER}/introspect"
    assert told["jwks_uri"] == f"{ISSUER}/.well-known/jwks.json"


def test_nothing_is_null_or_empty() -> None:
    """RFC 8414 §3.2."""
    assert all(document().values())


def test_only_what_is_supported_is_told() -> None:
    told = document()

    assert told["grant_types_supported"] == ["client_credentials"]
    for endpoint in ("token", "revocation", "introspection"):
        assert told[f"{endpoint}_endpoint_auth_methods_supported"] == [
            "private_key_jwt"
        ]
        algs = told[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
        assert isinstance(algs, list)
        assert {"RS256", "ES256", "EdDSA", "Ed25519"} <= set(algs)
        assert not any(alg.startswith("HS") or alg == "none" for alg in algs)


def test_services_with_a_credential_are_told_that_it_is_a_bearer_token() -> None:
    told = document(services_may_introspect=True)

    assert told["introspection_endpoint_auth_methods_supported"] == [
        "private_key_jwt",
        "Bearer",
    ]
    assert told["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]


@pytest.mark.parametrize(
    ("issuer", "path"),
    [
        ("https://a.example", "/.well-known/oauth-authorization-server"),
        ("https://a.example/x/y", "/.well-known/oauth-authorization-server/x/y"),
    ],
)
def test_the_well_known_part_stands_before_the_path(issuer: str, path: str) -> None:
    assert metadata_path(issuer) == path
