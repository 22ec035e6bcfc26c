"""POST {issuer}/revoke (RFC 7009)."""

import msgspec

from token_issuer.http.collaborators import clients, issuance, records, revocations
from token_issuer.http.forms import FormRequest
from tollgate.oauth.access_tokens import TokenRefusal
from tollgate.oauth.errors import InvalidClient, InvalidGrant, InvalidRequest


class _Nothing(msgspec.Struct, frozen=True):
    """RFC 7009 §2.2: the body does not matter."""


async def revoke(request: FormRequest) -> _Nothing:
    """End one token of the app that asks.

    Rubbish, and what has ended already, is 200 as well: there is nothing that the app
    could still do about it. What could not be recorded is 503.
    """
    if request.authorization:
        raise InvalidClient("authenticate with a client_assertion alone")
    application, form = request.application, request.form
    client = await application[clients].authenticate(form, request.arrived_at)
    if "token" not in form:
        raise InvalidRequest("token is missing")
    await application[issuance].spend(client)
    token = await application[records].verify(form["token"])
    if isinstance(token, TokenRefusal):
        return _Nothing()
    if token.client_id != client.app.id:
        raise InvalidGrant("the token was issued to another client")
    await application[revocations].revoke_token(
        token,
        request.caller.metadata(
            f"oauth_app-{client.app.id}", command_id=f"revoke-{token.jti}"
        ),
    )
    return _Nothing()
