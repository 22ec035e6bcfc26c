"""Every reason for which a request does not pass, in one table.

The status decides whether events are lost (WIRE 4.2): current SDKs drop a batch on
401 and 403, and fetch a new token and send the same batch again on 511. So only what
is permanent is 401 or 403, what a new token cures is 511 for clients that resend, and
what passes by itself is 503.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

_SERVER_ERROR = 500


class Reason(StrEnum):
    """Why not. The value is the `code` of the answer and the label of the metric."""

    # What the request names
    WRITE_KEY_MISSING = "write_key_missing"
    WRITE_KEY_UNKNOWN = "write_key_unknown"
    WRITE_KEY_DELETED = "write_key_deleted"
    SOURCE_DELETED = "source_deleted"
    SOURCES_MIXED = "sources_mixed"

    # What it carries
    CREDENTIALS_AMBIGUOUS = "credentials_ambiguous"
    CREDENTIALS_MALFORMED = "credentials_malformed"
    TOKEN_MISSING = "token_missing"
    TOKEN_MALFORMED = "token_malformed"
    TOKEN_SIGNING_KEY_UNKNOWN = "token_signing_key_unknown"
    TOKEN_SIGNATURE_WRONG = "token_signature_wrong"
    TOKEN_ISSUER_WRONG = "token_issuer_wrong"
    TOKEN_AUDIENCE_WRONG = "token_audience_wrong"
    TOKEN_SENDER_CONSTRAINED = "token_sender_constrained"
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"
    TOKEN_EXPIRED = "token_expired"
    TOKEN_REVOKED = "token_revoked"
    TOKEN_SIGNING_KEY_COMPROMISED = "token_signing_key_compromised"
    TOKEN_SIGNING_KEY_RETIRED = "token_signing_key_retired"
    APP_UNKNOWN = "app_unknown"
    APP_DELETED = "app_deleted"
    APP_KEY_UNKNOWN = "app_key_unknown"
    APP_KEY_RETIRED = "app_key_retired"
    SOURCE_NOT_CONNECTED = "source_not_connected"
    SCOPE_MISSING = "scope_missing"
    SCOPE_WITHDRAWN = "scope_withdrawn"

    # What the gateway cannot say now
    VIEW_TOO_OLD = "view_too_old"
    VIEW_UNCONFIRMED = "view_unconfirmed"

    # How it is written
    HEAD_MALFORMED = "head_malformed"
    HEAD_TOO_LARGE = "head_too_large"
    TARGET_TOO_LONG = "target_too_long"
    HOST_INVALID = "host_invalid"
    LENGTH_INVALID = "length_invalid"
    TRANSFER_CODING_INVALID = "transfer_coding_invalid"
    TRANSFER_CODING_UNKNOWN = "transfer_coding_unknown"
    VERSION_UNSUPPORTED = "version_unsupported"
    METHOD_UNKNOWN = "method_unknown"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_FOUND = "not_found"
    EXPECTATION_UNKNOWN = "expectation_unknown"
    CHUNK_MALFORMED = "chunk_malformed"
    BODY_TOO_LARGE = "body_too_large"
    BODY_INFLATES_TOO_LARGE = "body_inflates_too_large"
    BODY_UNREADABLE = "body_unreadable"
    BODY_UNEXPECTED = "body_unexpected"
    ENCODING_UNSUPPORTED = "encoding_unsupported"
    REQUEST_TOO_SLOW = "request_too_slow"

    # How it goes on
    OVERLOADED = "overloaded"
    UPSTREAM_BUSY = "upstream_busy"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_CONNECT_TIMEOUT = "upstream_connect_timeout"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_RUBBISH = "upstream_rubbish"
    UPSTREAM_CLOSED = "upstream_closed"
    UPSTREAM_REDIRECTED = "upstream_redirected"


class Challenge(StrEnum):
    """What `WWW-Authenticate` says (RFC 6750 §3), if anything."""

    NONE = "none"
    BARE = "bare"
    WITH_ERROR = "with error"
    WITH_SCOPE = "with error and scope"


class Denial(msgspec.Struct, frozen=True, kw_only=True):
    """How a reason is told.

    `error` is the OAuth error code. `stale`: a new token cures it. `unknown`: said
    only by a view that was read after the request arrived (DESIGN 4). `retry_after`
    is in seconds.
    """

    status: int
    message: str
    error: str = "invalid_request"
    challenge: Challenge = Challenge.NONE
    stale: bool = False
    unknown: bool = False
    retry_after: int | None = None

    @property
    def is_client_error(self) -> bool:
        """The request is at fault (RFC 9110 §15.5), not the gateway or an upstream."""
        return self.status < _SERVER_ERROR


class Refused(Exception):
    """The request goes no further. Carries why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


def _bad_request(message: str, status: int = 400) -> Denial:
    return Denial(status=status, message=message)


def _no_credentials(message: str, *, unknown: bool = False) -> Denial:
    # RFC 6750 §3.1: no error code in the challenge where no token was judged.
    return Denial(
        status=401,
        message=message,
        error="invalid_token",
        challenge=Challenge.BARE,
        unknown=unknown,
    )


def _bad_token(
    message: str, *, stale: bool = False, unknown: bool = False, status: int = 401
) -> Denial:
    return Denial(
        status=status,
        message=message,
        error="invalid_token",
        challenge=Challenge.WITH_ERROR,
        stale=stale,
        unknown=unknown,
    )


def _passing(message: str, status: int = 503, retry_after: int | None = 1) -> Denial:
    return Denial(
        status=status,
        message=message,
        error="temporarily_unavailable",
        retry_after=retry_after,
    )


DENIALS: Mapping[Reason, Denial] = MappingProxyType(
    {
        Reason.WRITE_KEY_MISSING: _no_credentials("the request names no write key"),
        Reason.WRITE_KEY_UNKNOWN: _no_credentials(
            "the write key is not known", unknown=True
        ),
        Reason.WRITE_KEY_DELETED: _no_credentials("the write key was deleted"),
        Reason.SOURCE_DELETED: _no_credentials("the source was deleted"),
        Reason.SOURCES_MIXED: Denial(
            status=403,
            message="the request names write keys of several sources",
            error="insufficient_scope",
            challenge=Challenge.WITH_ERROR,
        ),
        Reason.CREDENTIALS_AMBIGUOUS: Denial(
            status=400,
            message="send credentials in one way only",
            challenge=Challenge.WITH_ERROR,
        ),
        Reason.CREDENTIALS_MALFORMED: Denial(
            status=400,
            message="the Authorization header is malformed",
            challenge=Challenge.WITH_ERROR,
        ),
        Reason.TOKEN_MISSING: _no_credentials("this source needs an access token"),
        Reason.TOKEN_MALFORMED: _bad_token("this is not an access token"),
        Reason.TOKEN_SIGNING_KEY_UNKNOWN: _bad_token(
            "the access token is signed with an unknown key", unknown=True
        ),
        Reason.TOKEN_SIGNATURE_WRONG: _bad_token(
            "the signature of the access token is wrong"
        ),
        Reason.TOKEN_ISSUER_WRONG: _bad_token(
            "the access token was issued by someone else"
        ),
        Reason.TOKEN_AUDIENCE_WRONG: _bad_token(
            "the access token is not meant for this API"
        ),
        Reason.TOKEN_SENDER_CONSTRAINED: _bad_token(
            "the access token is bound to a key that was not shown"
        ),
        Reason.TOKEN_NOT_YET_VALID: _bad_token("the access token is not valid yet"),
        Reason.TOKEN_EXPIRED: _bad_token("the access token has expired", stale=True),
        Reason.TOKEN_REVOKED: _bad_token("the access token was revoked", stale=True),
        Reason.TOKEN_SIGNING_KEY_COMPROMISED: _bad_token(
            "the access token was ended with the key that signed it", stale=True
        ),
        Reason.TOKEN_SIGNING_KEY_RETIRED: _bad_token(
            "the access token was signed after its key was retired", stale=True
        ),
        Reason.APP_UNKNOWN: _bad_token("the app is not known", unknown=True),
        Reason.APP_DELETED: _bad_token("the app was deleted"),
        Reason.APP_KEY_UNKNOWN: _bad_token(
            "the key behind the access token is not known", unknown=True
        ),
        Reason.APP_KEY_RETIRED: _bad_token(
            "the key behind the access token was deleted", stale=True
        ),
        Reason.SOURCE_NOT_CONNECTED: Denial(
            # Or connected a moment ago: a 403 would lose the first events.
            status=403,
            message="the app is not connected to this source",
            error="insufficient_scope",
            challenge=Challenge.WITH_ERROR,
            unknown=True,
        ),
        Reason.SCOPE_MISSING: Denial(
            status=403,
            message="the access token lacks the scope",
            error="insufficient_scope",
            challenge=Challenge.WITH_SCOPE,
        ),
        Reason.SCOPE_WITHDRAWN: Denial(
            # Or granted a moment ago: the token has it, so the issuer has heard.
            status=403,
            message="the app lacks the scope",
            error="insufficient_scope",
            challenge=Challenge.WITH_SCOPE,
            unknown=True,
        ),
        Reason.VIEW_TOO_OLD: _passing(
            "the gateway has not heard of changes for too long"
        ),
        Reason.VIEW_UNCONFIRMED: _passing("the gateway cannot ask about this now"),
        Reason.HEAD_MALFORMED: _bad_request("malformed request head"),
        Reason.HEAD_TOO_LARGE: _bad_request("the request head is too large", 431),
        Reason.TARGET_TOO_LONG: _bad_request("the request target is too long", 414),
        Reason.HOST_INVALID: _bad_request("one valid Host header is needed"),
        Reason.LENGTH_INVALID: _bad_request("invalid Content-Length"),
        Reason.TRANSFER_CODING_INVALID: _bad_request("invalid Transfer-Encoding"),
        Reason.TRANSFER_CODING_UNKNOWN: _bad_request(
            "only the chunked transfer coding is supported", 501
        ),
        Reason.VERSION_UNSUPPORTED: _bad_request(
            "only HTTP/1.1 and HTTP/1.0 are supported", 505
        ),
        Reason.METHOD_UNKNOWN: _bad_request("unknown method", 501),
        Reason.METHOD_NOT_ALLOWED: _bad_request("method not allowed", 405),
        Reason.NOT_FOUND: _bad_request("there is nothing at this path", 404),
        Reason.EXPECTATION_UNKNOWN: _bad_request("unknown expectation", 417),
        Reason.CHUNK_MALFORMED: _bad_request("malformed chunked body"),
        Reason.BODY_TOO_LARGE: _bad_request("the body is too large", 413),
        Reason.BODY_INFLATES_TOO_LARGE: _bad_request(
            "the body is too large when inflated", 413
        ),
        Reason.BODY_UNREADABLE: _bad_request("malformed JSON"),
        Reason.BODY_UNEXPECTED: _bad_request("this request cannot have a body"),
        Reason.ENCODING_UNSUPPORTED: _bad_request(
            "the body must be UTF-8, plain or in one gzip coding", 415
        ),
        Reason.REQUEST_TOO_SLOW: _bad_request("the request took too long", 408),
        Reason.OVERLOADED: _passing("the gateway is busy"),
        Reason.UPSTREAM_BUSY: _passing("the tracking API is busy"),
        Reason.UPSTREAM_UNREACHABLE: _passing("the tracking API is unreachable", 502),
        Reason.UPSTREAM_CONNECT_TIMEOUT: _passing(
            "the tracking API is unreachable", 504
        ),
        Reason.UPSTREAM_TIMEOUT: _passing("the tracking API did not answer", 504),
        Reason.UPSTREAM_RUBBISH: _passing("the tracking API gave no valid answer", 502),
        Reason.UPSTREAM_CLOSED: _passing("the tracking API closed the connection", 502),
        Reason.UPSTREAM_REDIRECTED: _passing(
            # Segment's Node.js SDK 3.1.0 counts a redirect as delivered (WIRE 4.2).
            "the tracking API answered with a redirect",
            502,
        ),
    }
)

NETWORK_AUTHENTICATION_REQUIRED = 511
"""RFC 6585 §6. The only status on which current SDKs resend with a new token."""


def status_of(denial: Denial, *, resends: bool) -> int:
    """The status of an answer to a client that resends on 511, or does not."""
    if denial.stale and resends:
        return NETWORK_AUTHENTICATION_REQUIRED
    return denial.status
