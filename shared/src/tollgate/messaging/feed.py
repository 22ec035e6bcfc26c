"""The feed: logs read over HTTP by the other services.

    GET /v1/events?log=…&after=N&after_hash=H&limit=…&wait=SECONDS&instance=NAME
    Authorization: Bearer <feed credential>

answers with NDJSON, one event a line, those after position N. The headers
`Tollgate-Log-Head` and `Tollgate-Log-Head-Hash` tell where the log ended after the
request arrived, `Tollgate-Max-Age` how many seconds a view of it may be old. If the
event at N does not have the hash H, or there is none, the answer is 409: the reader
holds another history. `after=N` from a named instance also says that it has applied N.
"""

import hashlib
import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import msgspec
import structlog
from aiohttp import web

from tollgate.events import RecordedEvent
from tollgate.http.problems import (
    INVALID_PARAMETER,
    UNAVAILABLE,
    Problem,
    ProblemType,
    RequestRefused,
)
from tollgate.http.request_ids import request_id_of
from tollgate.messaging.messages import CONTENT_TYPE, encode_lines, withheld
from tollgate.messaging.metrics import FeedMetrics
from tollgate.messaging.source import (
    LocalSource,
    LogDiverged,
    Page,
    SourceUnavailable,
)
from tollgate.settings import Secret

PATH = "/v1/events"
HEAD = "Tollgate-Log-Head"
HEAD_HASH = "Tollgate-Log-Head-Hash"
MAX_AGE = "Tollgate-Max-Age"

DEFAULT_LIMIT = 500
MAX_LIMIT = 1000
MAX_WAIT = 30.0
MAX_WAITING = 256
"""Requests that wait at the same time; one more is answered at once."""

MAX_PAGE = 4 * 1024 * 1024
"""Bytes of one answer, unless a single event is longer."""

MAX_INSTANCES = 1000
"""Named instances remembered; the one silent for longest is forgotten first."""

VALID_SECRETS = 2
MIN_SECRET_LENGTH = 16

CREDENTIAL_NEEDED = ProblemType(
    "feed-credential-needed",
    401,
    "The feed is for services that hold a credential",
    "Send one of the two secrets of a feed reader as `Authorization: Bearer`.",
)
LOG_NOT_PERMITTED = ProblemType(
    "log-not-permitted",
    403,
    "This credential may not read that log",
    "Each feed reader names the logs it may read.",
)
NO_SUCH_LOG = ProblemType(
    "no-such-log", 404, "There is no such log here", "Each log is read from its owner."
)
LOG_DIVERGED = ProblemType(
    "log-diverged",
    409,
    "The log has another history than its reader",
    "The log was put back to an earlier state, or is another one: build the view anew"
    " from position 0, and tell an operator.",
)
FEED_PROBLEMS = (CREDENTIAL_NEEDED, LOG_NOT_PERMITTED, NO_SUCH_LOG, LOG_DIVERGED)

_POSITION = re.compile(r"[0-9]{1,19}", re.ASCII)
_LIMIT = re.compile(r"[0-9]{1,4}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,6})?", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)
_PARAMETERS = frozenset({"log", "after", "after_hash", "limit", "wait", "instance"})
_MAX_POSITION = 2**63 - 1

logger = structlog.get_logger(__name__)


class FeedReader(msgspec.Struct, frozen=True, kw_only=True):
    """A service that may read: which logs, and whether whole rows or withheld ones.

    One or two secrets are valid at a time, so that they can be changed one side after
    the other.
    """

    name: str
    secrets: tuple[Secret, ...]
    logs: frozenset[str]
    whole: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.secrets) <= VALID_SECRETS:
            raise ValueError(f"{self.name}: give one or two secrets")
        if any(len(secret.reveal()) < MIN_SECRET_LENGTH for secret in self.secrets):
            raise ValueError(
                f"{self.name}: a secret has at least {MIN_SECRET_LENGTH} characters"
            )


@dataclass(frozen=True, slots=True)
class Confirmation:
    """An instance has applied the log up to `position`, it said at `at` (epoch s)."""

    log: str
    reader: str
    instance: str
    position: int
    at: float


@dataclass(frozen=True, slots=True)
class _Query:
    log: str
    after: int
    after_hash: bytes | None
    limit: int
    wait: timedelta
    instance: str | None


class Feed:
    """Serves the logs of one service to the readers it knows."""

    def __init__(
        self,
        sources: Iterable[LocalSource],
        readers: Sequence[FeedReader],
        *,
        metrics: FeedMetrics,
    ) -> None:
        self._sources = {source.log: source for source in sources}
        self._credentials = [
            (_digest(secret.reveal()), reader)
            for reader in readers
            for secret in reader.secrets
        ]
        self._metrics = metrics
        self._waiting = 0
        self._confirmed: OrderedDict[tuple[str, str, str], Confirmation] = OrderedDict()

    def routes(self) -> list[web.RouteDef]:
        return [web.get(PATH, self.read, allow_head=False)]

    def confirmations(self) -> list[Confirmation]:
        """The last position that each named instance said it has applied."""
        return list(self._confirmed.values())

    async def read(self, request: web.Request) -> web.Response:
        """Answer one read; every refusal is a problem (RFC 9457)."""
        log = "unknown"
        try:
            reader = self._authenticate(request)
            query = _parse(request)
            source = self._source_of(query, reader)
            log = source.log
            response = await self._answer(query, reader, source)
        except RequestRefused as refusal:
            response = _problem_of(request, refusal)
        self._metrics.requests.labels(log, str(response.status)).inc()
        response.headers["Cache-Control"] = "no-store"
        return response

    async def _answer(
        self, query: _Query, reader: FeedReader, source: LocalSource
    ) -> web.Response:
        patient = self._waiting < MAX_WAITING
        self._waiting += 1
        try:
            page = await source.read_after(
                query.after,
                query.after_hash,
                limit=query.limit,
                wait=query.wait if patient else timedelta(0),
            )
        except LogDiverged as error:
            logger.error(  # noqa: TRY400 - the reader's history is wrong, not our code
                "a reader holds another history",
                log=query.log,
                reader=reader.name,
                instance=query.instance,
                position=query.after,
            )
            raise RequestRefused(LOG_DIVERGED, str(error)) from error
        except SourceUnavailable as error:
            raise RequestRefused(
                UNAVAILABLE, str(error), {"Retry-After": "1"}
            ) from error
        finally:
            self._waiting -= 1
        if query.instance is not None and (query.after_hash or query.after == 0):
            self._confirm(query, reader, query.instance)
        return _respond(page, whole=reader.whole)

    def _authenticate(self, request: web.Request) -> FeedReader:
        """Whose credential it is. Every known one is compared, in constant time."""
        fields = request.headers.getall("Authorization", [])
        scheme, _, secret = (fields[0] if len(fields) == 1 else "").partition(" ")
        given = _digest(secret.strip())
        found = [
            reader
            for digest, reader in self._credentials
            if hmac.compare_digest(digest, given)
        ]
        if scheme.lower() != "bearer" or not found:
            raise RequestRefused(
                CREDENTIAL_NEEDED,
                "no feed credential that is known",
                {"WWW-Authenticate": 'Bearer realm="tollgate feed"'},
            )
        return found[0]

    def _source_of(self, query: _Query, reader: FeedReader) -> LocalSource:
        source = self._sources.get(query.log)
        if query.log not in reader.logs:
            raise RequestRefused(
                LOG_NOT_PERMITTED, f"{reader.name} may not read {query.log!r}"
            )
        if source is None:
            raise RequestRefused(NO_SUCH_LOG, f"{query.log!r} is not served here")
        return source

    def _confirm(self, query: _Query, reader: FeedReader, instance: str) -> None:
        key = (query.log, reader.name, instance)
        self._confirmed[key] = Confirmation(*key, query.after, time.time())
        self._confirmed.move_to_end(key)
        self._metrics.confirmed.labels(*key).set(query.after)
        if len(self._confirmed) > MAX_INSTANCES:
            forgotten, _ = self._confirmed.popitem(last=False)
            self._metrics.confirmed.remove(*forgotten)


def _parse(request: web.Request) -> _Query:
    query = request.query
    if len(set(query)) != len(query):
        raise RequestRefused(INVALID_PARAMETER, "a parameter is given twice")
    if unknown := sorted(set(query) - _PARAMETERS):
        raise RequestRefused(INVALID_PARAMETER, f"unknown parameter {unknown[0]!r}")
    after = int(_matching(query, "after", _POSITION, "0"))
    if after > _MAX_POSITION:
        raise RequestRefused(INVALID_PARAMETER, "after is out of range")
    after_hash = _matching(query, "after_hash", _HASH, "")
    limit = int(_matching(query, "limit", _LIMIT, str(DEFAULT_LIMIT)))
    wait = min(float(_matching(query, "wait", _SECONDS, "0")), MAX_WAIT)
    return _Query(
        log=query.get("log", ""),
        after=after,
        after_hash=bytes.fromhex(after_hash) or None,
        limit=max(1, min(limit, MAX_LIMIT)),
        wait=timedelta(seconds=wait),
        instance=_matching(query, "instance", _INSTANCE, "") or None,
    )


def _matching(
    query: Mapping[str, str], name: str, form: re.Pattern[str], default: str
) -> str:
    text = query.get(name, default)
    if text != default and not form.fullmatch(text):
        raise RequestRefused(INVALID_PARAMETER, f"{name} is malformed")
    return text


def _respond(page: Page, *, whole: bool) -> web.Response:
    return web.Response(
        body=_body_of(page.events, whole=whole),
        content_type=CONTENT_TYPE,
        headers={
            HEAD: str(page.head.position),
            HEAD_HASH: page.head.hash.hex(),
            MAX_AGE: f"{page.max_age.total_seconds():.3f}",
        },
    )


def _body_of(events: Sequence[RecordedEvent], *, whole: bool) -> bytes:
    lines: list[bytes] = []
    size = 0
    for recorded in events:
        line = encode_lines([recorded if whole else withheld(recorded)])
        size += len(line)
        if lines and size > MAX_PAGE:
            break
        lines.append(line)
    return b"".join(lines)


def _problem_of(request: web.Request, refusal: RequestRefused) -> web.Response:
    return Problem(
        type=refusal.kind.uri,
        status=refusal.kind.status,
        title=refusal.kind.title,
        detail=str(refusal),
        request_id=request_id_of(request),
    ).response(refusal.headers)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
