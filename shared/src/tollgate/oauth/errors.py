"""OAuth 2.0 errors, under their RFC names.

    OAuthError
      InvalidRequest             400  RFC 6749 §5.2, RFC 6750 §3.1
        TokenIsExpired           400  the words that Segment's Python SDK waits for
        TokenUsedBeforeIssued    400
        MethodNotAllowed         405
        RequestTooLarge          413
        UnsupportedMediaType     415
      InvalidClient              401  RFC 6749 §5.2, RFC 7521 §4.2.1
      UnauthorizedClient         400
      InvalidGrant               400
      UnsupportedGrantType       400
      InvalidScope               400
      UnsupportedTokenType       400  RFC 7009 §2.2.1
      InvalidToken               401  RFC 6750 §3.1
      InsufficientScope          403
      TemporarilyUnavailable     503
        TooManyRequests          429
      ServerError                500

The token, revocation and introspection endpoints answer with RFC 6749 §5.2 bodies; the
resource side answers with an RFC 6750 §3 challenge. Neither uses problem details.
"""

import re
from datetime import timedelta
from typing import ClassVar

import msgspec

_FIT = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+").fullmatch


class ErrorBody(msgspec.Struct, frozen=True):
    """RFC 6749 §5.2. Both members, always: Segment's Python SDK reads both."""

    error: str
    error_description: str


class OAuthError(Exception):
    """A refusal with a registered error code. Its text is the `error_description`.

    The text is ours, never the client's. RFC 6749 §5.2 allows it printable ASCII but
    for the double quote and the backslash, so that it also fits a challenge.
    """

    error: ClassVar[str]
    status: ClassVar[int] = 400

    def __init__(self, description: str) -> None:
        if not _FIT(description):
            raise ValueError("not fit for an error_description (RFC 6749 §5.2)")
        super().__init__(description)
        self.description = description

    @property
    def body(self) -> ErrorBody:
        return ErrorBody(error=self.error, error_description=self.description)


class InvalidRequest(OAuthError):
    """RFC 6749 §5.2: a parameter is missing, repeated, or malformed."""

    error = "invalid_request"


class TokenIsExpired(InvalidRequest):
    """The client's clock is slow.

    The words are those that Segment's Python SDK compares with, exactly; it then signs
    again at once with the time of our `Date`. Only for verified assertions.
    """

    def __init__(self) -> None:
        super().__init__("Token is expired")


class TokenUsedBeforeIssued(InvalidRequest):
    """The client's clock is fast; see `TokenIsExpired`."""

    def __init__(self) -> None:
        super().__init__("Token used before issued")


class MethodNotAllowed(InvalidRequest):
    status = 405


class RequestTooLarge(InvalidRequest):
    status = 413


class UnsupportedMediaType(InvalidRequest):
    status = 415


class InvalidClient(OAuthError):
    """RFC 6749 §5.2, RFC 7521 §4.2.1: client authentication failed."""

    error = "invalid_client"
    status = 401


class UnauthorizedClient(OAuthError):
    """RFC 6749 §5.2: this client may not use this grant type."""

    error = "unauthorized_client"


class InvalidGrant(OAuthError):
    """RFC 6749 §5.2: the grant is invalid, or belongs to another client."""

    error = "invalid_grant"


class UnsupportedGrantType(OAuthError):
    """RFC 6749 §5.2."""

    error = "unsupported_grant_type"


class InvalidScope(OAuthError):
    """RFC 6749 §5.2: the scope is malformed, unknown, or more than the client has."""

    error = "invalid_scope"


class UnsupportedTokenType(OAuthError):
    """RFC 7009 §2.2.1."""

    error = "unsupported_token_type"


class InvalidToken(OAuthError):
    """RFC 6750 §3.1: the access token is expired, revoked, malformed or not ours."""

    error = "invalid_token"
    status = 401


class InsufficientScope(OAuthError):
    """RFC 6750 §3.1: the access token is good, but not for this."""

    error = "insufficient_scope"
    status = 403


class TemporarilyUnavailable(OAuthError):
    """Nothing is decided: not a yes, and not a no that the client should act on."""

    error = "temporarily_unavailable"
    status = 503

    def __init__(
        self, description: str, *, retry_after: timedelta = timedelta(seconds=1)
    ) -> None:
        super().__init__(description)
        self.retry_after = retry_after


class TooManyRequests(TemporarilyUnavailable):
    """RFC 6585 §4. No registered code says it better."""

    status = 429


class ServerError(OAuthError):
    error = "server_error"
    status = 500
