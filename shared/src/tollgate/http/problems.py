"""Problem details (RFC 9457): the one place where an error becomes a response.

A service maps each of its refusals to a `ProblemType` in one table, complete by test.
What goes wrong before a rule is asked (a body that is no JSON, say) has the types here.
"""

import math
from collections.abc import Mapping

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from msgspec import UNSET, UnsetType

from tollgate.errors import DomainError, Unavailable
from tollgate.http.request_ids import request_id_of

PROBLEM_JSON = "application/problem+json"
TYPES = "urn:tollgate:problem:"

logger = structlog.get_logger(__name__)


class ProblemType(msgspec.Struct, frozen=True):
    """A kind of refusal: its name for ever, its status, and what helps."""

    slug: str
    status: int
    title: str
    advice: str

    @property
    def uri(self) -> str:
        return TYPES + self.slug


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9457 §3.1; `request_id` is for whoever asks the operator about it."""

    type: str = "about:blank"
    status: int
    title: str
    detail: str | UnsetType = UNSET
    request_id: str | UnsetType = UNSET

    def response(self, headers: Mapping[str, str] | None = None) -> web.Response:
        return web.Response(
            status=self.status,
            body=msgspec.json.encode(self),
            content_type=PROBLEM_JSON,
            headers=headers,
        )


class RequestRefused(Exception):
    """The request itself is at fault, before any rule of the service is asked."""

    def __init__(
        self, kind: ProblemType, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.headers = headers


MALFORMED_JSON = ProblemType(
    "malformed-json",
    400,
    "The body is not JSON",
    "Send one JSON object in UTF-8, with each member once.",
)
INVALID_BODY = ProblemType(
    "invalid-body",
    422,
    "The body is not what this request takes",
    "The detail names the member that is missing, unknown, or of another type.",
)
UNSUPPORTED_MEDIA_TYPE = ProblemType(
    "unsupported-media-type",
    415,
    "The body is of another media type",
    "Send `Content-Type: application/json` and no content coding.",
)
TOO_LARGE = ProblemType(
    "body-too-large", 413, "The body is too large", "No request needs more than that."
)
INVALID_PARAMETER = ProblemType(
    "invalid-parameter",
    400,
    "A parameter or header cannot be used",
    "The detail names it. Parameters that a request does not know are refused too.",
)
UNAVAILABLE = ProblemType(
    "unavailable",
    503,
    "This cannot be answered at the moment",
    "Ask again after `Retry-After` seconds, a command with the same Idempotency-Key.",
)

REQUEST_PROBLEMS: tuple[ProblemType, ...] = (
    MALFORMED_JSON,
    INVALID_BODY,
    UNSUPPORTED_MEDIA_TYPE,
    TOO_LARGE,
    INVALID_PARAMETER,
    UNAVAILABLE,
)
"""What every service answers with, besides its own."""


def problem_middleware(
    refusals: Mapping[type[DomainError], ProblemType], *, realm: str
) -> Middleware:
    """Answer every error as a problem; `refusals` knows the service's own.

    `realm` is what a 401 asks a credential for (RFC 9110 §11.6.1).
    """

    @web.middleware
    async def answer_errors_as_problems(
        request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except DomainError as refusal:
            kind = _kind_of(refusal, refusals)
            if kind is None:
                return _fault(request, refusal)
            logger.info("request refused", problem=kind.slug)
            headers = (
                {"WWW-Authenticate": f'Bearer realm="{realm}"'}
                if kind.status == web.HTTPUnauthorized.status_code
                else None
            )
            return _problem(request, kind, str(refusal)).response(headers)
        except RequestRefused as refusal:
            problem = _problem(request, refusal.kind, str(refusal))
            return problem.response(refusal.headers)
        except Unavailable as trouble:
            logger.warning("request not answered", reason=str(trouble))
            seconds = max(1, math.ceil(trouble.retry_after.total_seconds()))
            return _problem(request, UNAVAILABLE, str(trouble)).response(
                {"Retry-After": str(seconds)}
            )
        except web.HTTPRequestEntityTooLarge as error:
            return _problem(request, TOO_LARGE, error.reason).response(
                {"Connection": "close"}
            )
        except web.HTTPException as error:  # the router's own: Allow is worth keeping
            if error.status < web.HTTPBadRequest.status_code:
                raise
            plain = Problem(
                status=error.status,
                title=error.reason,
                request_id=request_id_of(request),
            )
            allow = error.headers.get("Allow")
            return plain.response(None if allow is None else {"Allow": allow})
        except TimeoutError:
            # A deadline of ours that nobody else has put into words.
            logger.warning("request not answered", reason="a deadline has passed")
            problem = _problem(request, UNAVAILABLE, "this takes too long at present")
            return problem.response({"Retry-After": "1"})
        except Exception as error:
            if request.transport is None or request.transport.is_closing():
                raise  # whatever it is, nobody is there to be told
            return _fault(request, error)

    return answer_errors_as_problems


def _kind_of(
    refusal: DomainError, refusals: Mapping[type[DomainError], ProblemType]
) -> ProblemType | None:
    """The type of the refusal, or of the nearest kind of refusal that it is."""
    kinds = (refusals[kind] for kind in type(refusal).__mro__ if kind in refusals)
    return next(kinds, None)


def _fault(request: web.Request, error: Exception) -> web.Response:
    """The log gets all of it, the client nothing."""
    logger.error("unhandled error", exc_info=error)
    return Problem(
        status=500,
        title="Internal server error",
        request_id=request_id_of(request),
    ).response()


def _problem(request: web.Request, kind: ProblemType, detail: str) -> Problem:
    return Problem(
        type=kind.uri,
        status=kind.status,
        title=kind.title,
        detail=detail,
        request_id=request_id_of(request),
    )
