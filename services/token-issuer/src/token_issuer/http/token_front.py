"""POST {issuer}/token answered in front of the application, when a token comes of it.

It keeps the same rules by the same functions, and waits for the body and for the log
alone. Whatever else it would have to wait for, and whatever is not a token, is left for
the application to decide, to answer, to log and to count.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from email.utils import formatdate
from typing import NamedTuple

import msgspec
from aiohttp import HttpVersion11, web
from aiohttp.hdrs import (
    AUTHORIZATION,
    CONTENT_ENCODING,
    CONTENT_TYPE,
    EXPECT,
    UPGRADE,
    X_FORWARDED_FOR,
)

from token_issuer.bursts import Arrivals
from token_issuer.callers import Caller
from token_issuer.grants.client_credentials import (
    AccessTokenResponse,
    ClientCredentialsGrant,
    Exchange,
    NotAtOnce,
)
from token_issuer.http.forms import (
    BODY,
    FAILED,
    FORM,
    require_few_failures,
)
from token_issuer.http.token_endpoint import grant_of
from token_issuer.issuance import in_words_of_oauth
from token_issuer.limits import RateLimit
from token_issuer.metrics import IssuerMetrics
from token_issuer.patience import Patience, out_of_patience
from tollgate.clock import Clock
from tollgate.eventlog import Appended
from tollgate.http.addresses import Network, client_address
from tollgate.http.front import Connection, Head
from tollgate.http.metrics import RequestMetrics
from tollgate.http.request_ids import name_given_in, new_name
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


class Surroundings(NamedTuple):
    """What the application has as well; `paths` are those of the token endpoint."""

    paths: Collection[str]
    clock: Clock
    failures: RateLimit
    grants: Mapping[str, ClientCredentialsGrant]
    metrics: IssuerMetrics
    patience: Patience
    requests: RequestMetrics
    trusted_proxies: tuple[Network, ...]


class TokenFront:
    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._paths = frozenset(surroundings.paths)
        self.take = Arrivals(_read_all).add
        """Read a request together with all others that arrive now: see `bursts`."""
        self._second = -1
        self._date = b""
        self._answered: list[_Asking] = []

    def kind_of(self, head: Head) -> "_Kind | None":
        """A form and no more, on a connection that is kept."""
        headers = head.headers
        if (
            head.path not in self._paths
            or head.method != "POST"
            or head.version != HttpVersion11
            or head.should_close
            # Fields of requests that are more than a form.
            or AUTHORIZATION in headers
            or CONTENT_ENCODING in headers
            or EXPECT in headers
            or UPGRADE in headers
        ):
            return None
        return _Kind(self, self._surroundings, head)

    def answer_of(self, response: AccessTokenResponse, request_id: str) -> "_Answer":
        """As it is sent, if that is in this second."""
        now = int(time.time())
        if now != self._second:
            # RFC 9110 §6.6.1; SDKs set their clocks by it.
            self._second, self._date = now, formatdate(now, usegmt=True).encode()
        body = _encode(response)
        return _Answer(
            _ANSWER % (request_id.encode(), len(body), self._date, body), now
        )

    def count(self, asking: "_Asking") -> None:
        """Once the log was given what waits for it: its database has nothing to do
        while answers are sent.
        """
        if not self._answered:
            asyncio.get_running_loop().call_soon(self._count_all)
        self._answered.append(asking)

    def _count_all(self) -> None:
        answered, self._answered = self._answered, []
        started: dict[str, list[float]] = {}
        for asking in answered:
            started.setdefault(asking.kind.path, []).append(asking.started)
            asking.end()
        around = self._surroundings
        for path, moments in started.items():
            around.requests.count_all(path, "POST", "200", moments)
        around.metrics.count_request("token", "ok", len(answered))


class _Answer(msgspec.Struct, frozen=True, gc=False):
    octets: bytes
    second: int  # of its date, since the epoch


def _read_all(askings: "list[_Asking]") -> None:
    for asking in askings:
        asking.read()


class _Kind:
    """What a head says, of each of the requests that begin with it."""

    __slots__ = (
        "_front",
        "_surroundings",
        "content_type",
        "forwarded_for",
        "path",
        "request_id",
    )

    def __init__(
        self, front: TokenFront, surroundings: Surroundings, head: Head
    ) -> None:
        headers = head.headers
        self._front = front
        self._surroundings = surroundings
        self.path = head.path
        self.content_type = headers.get(CONTENT_TYPE)
        self.forwarded_for = headers.getall(X_FORWARDED_FOR, ())
        self.request_id = name_given_in(headers)

    def asking(self, connection: Connection) -> "_Asking":
        return _Asking(self._front, self._surroundings, self, connection)


class _Asking:
    """One request, from its head to its answer.

    It is what its exchange is told by, and what is waited for with patience.
    """

    __slots__ = (
        "_answer",
        "_arrived_at",
        "_body",
        "_connection",
        "_exchange",
        "_failure",
        "_form",
        "_front",
        "_is_done",
        "_surroundings",
        "kind",
        "started",
    )

    _answer: "_Answer"
    _body: bytes
    _exchange: Exchange

    def __init__(
        self,
        front: TokenFront,
        surroundings: Surroundings,
        kind: _Kind,
        connection: Connection,
    ) -> None:
        self.started = time.perf_counter()
        self._arrived_at = surroundings.clock.seconds()
        self._front = front
        self._surroundings = surroundings
        self.kind = kind
        self._connection = connection
        self._form: Mapping[str, str] | None = None
        self._failure: Exception | None = None
        self._is_done = False

    def begin(self, body: bytes) -> None:
        self._body = body
        self._front.take(self)

    def read(self) -> None:
        around, kind = self._surroundings, self.kind
        try:
            # The same as `forms` does, and in that order.
            caller = Caller(
                address=client_address(
                    self._connection.remote, kind.forwarded_for, around.trusted_proxies
                ),
                request_id=kind.request_id or new_name(),
            )
            require_few_failures(caller.address, around.failures)
            form = self._form = parse_form(self._body, kind.content_type)
            grant = grant_of(form, around.grants)
            around.patience.begin(self)
        except Exception as failure:  # noqa: BLE001 - the application answers it
            self._leave(failure)
            return
        self._exchange = Exchange(form, self._arrived_at, caller, self, self._prepare)
        grant.begin(self._exchange)

    def _prepare(self, response: AccessTokenResponse) -> None:
        request_id = self._exchange.caller.request_id
        self._answer = self._front.answer_of(response, request_id)

    def done(self) -> bool:
        return self._is_done

    def set_result(self, _: Appended) -> None:
        self._is_done = True
        if self._answer.second != int(time.time()):
            self._prepare(self._exchange.response)
        self._front.count(self)
        self._connection.answer(self._answer.octets)

    def set_exception(self, failure: Exception) -> None:
        self._is_done = True
        self.end()
        self._leave(failure)

    def cut_short(self) -> None:
        if not self._is_done:
            self.set_exception(out_of_patience())

    def end(self) -> None:
        """Nobody waits for it any more."""
        self._surroundings.patience.end(self)
        del self._exchange  # which knows this: there is nothing to collect

    def _leave(self, failure: Exception) -> None:
        if not isinstance(failure, NotAtOnce):
            self._failure = in_words_of_oauth(failure)
        self._connection.leave(self._remind)

    def _remind(self, request: web.Request) -> None:
        request[BODY] = self._body
        if self._form is not None:
            request[FORM] = self._form
        if self._failure is not None:
            request[FAILED] = self._failure
