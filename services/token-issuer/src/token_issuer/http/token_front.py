"""POST {issuer}/token answered in front of the application, when a token comes of it.

The exchange is the same function as behind the router (`forms.answer_form`). What it
raises is left for the application to answer, to log and to count, so that a refusal is
written in one place.
"""

import time
from collections.abc import Collection
from email.utils import formatdate

import msgspec
from aiohttp import HttpVersion11, web

from token_issuer.http.collaborators import metrics
from token_issuer.http.forms import FAILED, FormHandler, answer_form
from tollgate.http.front import PreparedResponse, Rest
from tollgate.http.metrics import RequestMetrics
from tollgate.http.request_ids import request_id_of
from tollgate.http.server import RECORDED

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


class TokenFront:
    """`paths` are those of the token endpoint."""

    def __init__(
        self,
        application: web.Application,
        handler: FormHandler,
        *,
        paths: Collection[str],
        requests: RequestMetrics,
    ) -> None:
        self._application = application
        self._handler = handler
        self._paths = frozenset(paths)
        self._requests = requests
        self._date_of = -1
        self._date = b""

    async def __call__(self, request: web.Request, rest: Rest) -> web.StreamResponse:
        """A token in an answer that is not looked at again, or whatever `rest` says."""
        path = request.raw_path
        if path not in self._paths or not _is_plain(request):
            return await rest(request)
        started, status = time.perf_counter(), "cancelled"
        try:
            answer = await answer_form(request, self._application, self._handler)
            status = "200"
        except Exception as failure:  # noqa: BLE001 - the application answers it
            request[FAILED] = failure
            return await rest(request)
        finally:
            if FAILED not in request:
                self._requests.count(path, "POST", status, started)
        self._application[metrics].count_request("token", "ok")
        body = msgspec.json.encode(answer)
        name = request_id_of(request).encode()
        response = PreparedResponse(_ANSWER % (name, len(body), self._now(), body))
        response[RECORDED] = True
        return response

    def _now(self) -> bytes:
        """For the Date field (RFC 9110 §6.6.1), by which SDKs set their clocks."""
        now = int(time.time())
        if now != self._date_of:
            self._date_of, self._date = now, formatdate(now, usegmt=True).encode()
        return self._date


def _is_plain(request: web.Request) -> bool:
    """Whether a plain answer will do: nothing was negotiated, and nobody hangs up."""
    return (
        request.method == "POST"
        and request.version == HttpVersion11
        and request.keep_alive
        and "Expect" not in request.headers
        and "Upgrade" not in request.headers
    )
