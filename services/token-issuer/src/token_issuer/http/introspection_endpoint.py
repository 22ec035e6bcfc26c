"""POST {issuer}/introspect (RFC 7662)."""

from token_issuer.http.collaborators import (
    clients,
    introspection,
    introspection_credentials,
    issuance,
)
from token_issuer.http.forms import FormRequest
from token_issuer.introspection import TokenState
from tollgate.oauth.bearer import NoBearer, read_bearer
from tollgate.oauth.client_assertion import client_authentication_failed
from tollgate.oauth.errors import InvalidClient, InvalidRequest


async def introspect(request: FormRequest) -> TokenState:
    """Say what a token is worth now, to its app or to a service."""
    application, form = request.application, request.form
    asked_by = await _authenticate(request)
    if "token" not in form:
        raise InvalidRequest("token is missing")
    return await application[introspection].introspect(form["token"], asked_by=asked_by)


async def _authenticate(request: FormRequest) -> str | None:
    """The app that asks; None for a service."""
    if not request.authorization:
        client = await request.application[clients].authenticate(
            request.form, request.arrived_at
        )
        await request.application[issuance].spend(client)
        return client.app.id
    if "client_assertion" in request.form:
        raise InvalidClient("authenticate in one way only")
    bearer = read_bearer(request.authorization)
    known = request.application[introspection_credentials]
    if isinstance(bearer, NoBearer) or not known.include(bearer):
        raise client_authentication_failed()
    return None
