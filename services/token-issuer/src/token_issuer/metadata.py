"""What the issuer tells of itself (RFC 8414)."""

import msgspec

from token_issuer.grants.client_credentials import GRANT_TYPE
from tollgate.oauth.algorithms import Algorithm, header_names
from tollgate.oauth.scopes import Scope

JWKS = "/.well-known/jwks.json"


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 8414 §2."""

    issuer: str
    token_endpoint: str
    revocation_endpoint: str
    introspection_endpoint: str
    jwks_uri: str
    scopes_supported: tuple[str, ...]
    response_types_supported: tuple[str, ...]
    grant_types_supported: tuple[str, ...]
    token_endpoint_auth_methods_supported: tuple[str, ...]
    token_endpoint_auth_signing_alg_values_supported: tuple[str, ...]
    revocation_endpoint_auth_methods_supported: tuple[str, ...]
    revocation_endpoint_auth_signing_alg_values_supported: tuple[str, ...]
    introspection_endpoint_auth_methods_supported: tuple[str, ...]
    introspection_endpoint_auth_signing_alg_values_supported: tuple[str, ...]


def metadata_of(issuer: str, *, services_may_introspect: bool) -> Metadata:
    """What is true of the issuer of that name."""
    methods = ("private_key_jwt",)
    algs = tuple(name for alg in Algorithm for name in sorted(header_names(alg)))
    return Metadata(
        issuer=issuer,
        token_endpoint=f"{issuer}/token",
        revocation_endpoint=f"{issuer}/revoke",
        introspection_endpoint=f"{issuer}/introspect",
        jwks_uri=f"{issuer}{JWKS}",
        scopes_supported=tuple(Scope),
        # Required, never empty (§3.2), and there is no authorization endpoint here.
        response_types_supported=("none",),
        grant_types_supported=(GRANT_TYPE,),
        token_endpoint_auth_methods_supported=methods,
        token_endpoint_auth_signing_alg_values_supported=algs,
        revocation_endpoint_auth_methods_supported=methods,
        revocation_endpoint_auth_signing_alg_values_supported=algs,
        introspection_endpoint_auth_methods_supported=(
            (*methods, "Bearer") if services_may_introspect else methods
        ),
        introspection_endpoint_auth_signing_alg_values_supported=algs,
    )
