"""POST {issuer}/token answered in front of the application, when a token comes of it.

It keeps the same rules by the same functions, and waits for the body and for the log
alone. Whatever else it would have to wait for, and whatever is not a token, is left for
the application to decide, to answer, to log and to count.
"""

import time
from collections.abc import Collection, Mapping
from email.utils import formatdate

import msgspec
from aiohttp import HttpVersion11, web

from token_issuer.callers import Caller
from token_issuer.grants.client_credentials import (
    AccessTokenResponse,
    Exchange,
    NotAtOnce,
)
from token_issuer.http.callers import address_of
from token_issuer.http.collaborators import (
    clock,
    grants,
    metrics,
    patience,
    trusted_proxies,
)
from token_issuer.http.forms import (
    BODY,
    FAILED,
    FORM,
    read_body,
    require_few_failures,
)
from token_issuer.http.token_endpoint import grant_of
from token_issuer.issuance import in_words_of_oauth
from tollgate.http.front import PreparedResponse, Rest
from tollgate.http.metrics import RequestMetrics
from tollgate.http.request_ids import name_request
from tollgate.http.server import RECORDED
from tollgate.oauth.forms import parse_form

_ANSWER = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: application/json\r\n"
    b"Cache-Control: no-store\r\n"  # RFC 6749 §5.1
    b"Pragma: no-cache\r\n"
    b"X-Request-Id: %b\r\n"
    b"Content-Length: %d\r\n"
    b"Date: %b\r\n"
    b"Server: tollgate\r\n"
    b"\r\n"
    b"%b"
)

_encode = msgspec.json.Encoder().encode


class TokenFront:
    """`paths` are those of the token endpoint."""

    def __init__(
        self,
        application: web.Application,
        *,
        paths: Collection[str],
        requests: RequestMetrics,
    ) -> None:
        self._application = application
        self._paths = frozenset(paths)
        self._requests = requests
        self._date_of = -1
        self._date = b""

    async def __call__(self, request: web.Request, rest: Rest) -> web.StreamResponse:
        """A token in an answer that is not looked at again, or whatever `rest` says."""
        path = request.raw_path
        if path not in self._paths or not _is_plain(request):
            return await rest(request)
        started = time.perf_counter()
        application = self._application
        arrived_at = application[clock].now()
        body: bytes | None = None
        form: Mapping[str, str] | None = None
        try:
            # The same as `forms` does, and in that order.
            caller = Caller(
                address=address_of(request, application[trusted_proxies]),
                request_id=name_request(request),
            )
            require_few_failures(caller.address, application)
            body = await read_body(request)
            form = parse_form(body, request.headers.get("Content-Type"))
            grant = grant_of(form, application[grants])
            exchange = Exchange(form, arrived_at, caller)
            held_by = application[patience]
            held_by.begin(exchange)
            try:
                grant.begin(exchange)
                await exchange.done
            finally:
                held_by.end(exchange)
        except Exception as failure:  # noqa: BLE001 - the application answers it
            if body is not None:
                request[BODY] = body
            if form is not None:
                request[FORM] = form
            if not isinstance(failure, NotAtOnce):
                request[FAILED] = in_words_of_oauth(failure)
            return await rest(request)
        except BaseException:
            self._requests.count(path, "POST", "cancelled", started)
            raise
        self._requests.count(path, "POST", "200", started)
        application[metrics].count_request("token", "ok")
        response = PreparedResponse(
            self._answer(caller.request_id, exchange.response())
        )
        response[RECORDED] = True
        return response

    def _answer(self, request_id: str, answer: AccessTokenResponse) -> bytes:
        now = int(time.time())
        if now != self._date_of:
            # RFC 9110 §6.6.1; SDKs set their clocks by it.
            self._date_of, self._date = now, formatdate(now, usegmt=True).encode()
        body = _encode(answer)
        return _ANSWER % (request_id.encode(), len(body), self._date, body)


def _is_plain(request: web.Request) -> bool:
    """Whether it is a form and no more, on a connection that is kept."""
    if (
        request.method != "POST"
        or request.version != HttpVersion11
        or not request.keep_alive
    ):
        return False
    headers = request.headers
    # Fields of requests that are more than a form.
    return not (
        "Authorization" in headers or "Expect" in headers or "Upgrade" in headers
    )
