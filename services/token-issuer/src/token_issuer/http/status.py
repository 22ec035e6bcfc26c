"""GET /status: what the issuer knows, for whoever asks why it is not ready."""

import msgspec
from aiohttp import web

from token_issuer.http.collaborators import keyring, knowledge
from token_issuer.keyring import CannotSign
from tollgate.http.bodies import json_response
from tollgate.projections.view import ViewStatus

UNREAD_AFTER = 5.0
"""Seconds: who has not read their own log for longer records nothing either."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """`reasons` say what is missing for it to be ready."""

    ready: bool
    reasons: list[str]
    view: ViewStatus


def status_of(application: web.Application) -> Status:
    known = application[knowledge]
    view = known.view.status()
    reasons = [
        f"the {log.log} log is not known well enough"
        for log in view.logs
        if not log.ready
    ]
    if known.own_age() > UNREAD_AFTER:
        reasons.append("the database does not answer")
    try:
        application[keyring].signing_key(known.tokens.signing_keys)
    except CannotSign as trouble:
        reasons.append(str(trouble))
    return Status(ready=not reasons, reasons=reasons, view=view)


async def status(request: web.Request) -> web.Response:
    return json_response(status_of(request.app), headers={"Cache-Control": "no-store"})
