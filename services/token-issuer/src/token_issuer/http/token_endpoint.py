"""POST {issuer}/token (RFC 6749 §3.2)."""

from collections.abc import Mapping

from token_issuer.grants.client_credentials import (
    AccessTokenResponse,
    ClientCredentialsGrant,
)
from token_issuer.http.collaborators import grants
from token_issuer.http.forms import FormRequest
from tollgate.oauth.errors import InvalidClient, InvalidRequest, UnsupportedGrantType


async def token(request: FormRequest) -> AccessTokenResponse:
    """Exchange a grant for an access token."""
    if request.authorization:
        # RFC 6749 §2.3: one way only, and this is none of ours.
        raise InvalidClient("authenticate with a client_assertion alone")
    grant = grant_of(request.form, request.application[grants])
    return await grant.grant(
        request.form, arrived_at=request.arrived_at, caller=request.caller
    )


def grant_of(
    form: Mapping[str, str], known: Mapping[str, ClientCredentialsGrant]
) -> ClientCredentialsGrant:
    """The grant that `form` is for, or an `OAuthError`."""
    grant_type = form.get("grant_type")
    if grant_type is None:
        raise InvalidRequest("grant_type is missing")
    grant = known.get(grant_type)
    if grant is None:
        raise UnsupportedGrantType("use client_credentials")
    return grant
