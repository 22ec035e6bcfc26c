"""REFUSALS: every refusal of an administrator's command, as a problem (RFC 9457)."""

from collections.abc import Mapping
from types import MappingProxyType

from token_issuer.administration import (
    CredentialRefused,
    IdempotencyKeyReused,
    NoSuchApp,
    NoSuchKey,
    NotAnAccessToken,
    NotInThePast,
    NotPermitted,
)
from tollgate.errors import DomainError
from tollgate.http.problems import ProblemType

REFUSALS: Mapping[type[DomainError], ProblemType] = MappingProxyType(
    {
        CredentialRefused: ProblemType(
            "not-authenticated",
            401,
            "You are not known here",
            "Send `Authorization: Bearer tg_…`, or an OAuth access token with the "
            "scope `public_api:read_write`. It may have expired or been revoked.",
        ),
        NotPermitted: ProblemType(
            "not-permitted",
            403,
            "Your roles do not allow this",
            "Ask an owner of the workspace for another role, or to do it.",
        ),
        IdempotencyKeyReused: ProblemType(
            "idempotency-key-reused",
            422,
            "The Idempotency-Key belongs to another request",
            "Use a fresh key for each command, and the same only to repeat it.",
        ),
        NoSuchApp: ProblemType(
            "no-such-oauth-app",
            404,
            "No such OAuth app",
            "`GET /v1/oauth-apps` lists them.",
        ),
        NoSuchKey: ProblemType(
            "no-such-key", 404, "No such key", "The app tells which keys it has."
        ),
        NotAnAccessToken: ProblemType(
            "not-an-access-token",
            422,
            "Not an access token of this app",
            "Nothing was revoked. Paste the whole token as it was issued, or revoke "
            "all tokens of the app.",
        ),
        NotInThePast: ProblemType(
            "not-in-the-past",
            422,
            "Not in the past",
            "Tokens that are yet to be issued cannot be revoked.",
        ),
    }
)
