"""Reads another service's log through its feed (see `feed`)."""

import re
from collections.abc import Mapping
from datetime import timedelta

import aiohttp
import msgspec

from tollgate.messaging.feed import HEAD, HEAD_HASH, LOG_DIVERGED, MAX_AGE, PATH
from tollgate.messaging.messages import UnreadableMessage, decode_lines
from tollgate.messaging.source import LogDiverged, LogHead, Page, SourceUnavailable
from tollgate.settings import Secret

MAX_BODY = 32 * 1024 * 1024
"""Bytes of an answer that is read at all."""

ANSWER_TIMEOUT = 5.0
"""Seconds for an answer, beyond those that it was asked to wait."""

CONNECT_TIMEOUT = 2.0

_POSITION = re.compile(r"[0-9]{1,19}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)


class FeedClient:
    """One log of one owner, as the holder of `secret` may see it.

    `whole` says that the credential is one for whole rows; rows that come withheld all
    the same are refused by the subscription. `instance` names this process to the
    owner, who notes what it has applied.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        log: str,
        *,
        secret: Secret,
        whole: bool = False,
        instance: str | None = None,
    ) -> None:
        self._session = session
        self._url = base_url.rstrip("/") + PATH
        self._log = log
        self._whole = whole
        self._headers = {"Authorization": f"Bearer {secret.reveal()}"}
        self._fixed = {"log": log, **({"instance": instance} if instance else {})}

    @property
    def log(self) -> str:
        return self._log

    @property
    def whole(self) -> bool:
        return self._whole

    async def read_after(
        self,
        position: int,
        last: bytes | None,
        *,
        limit: int,
        wait: timedelta = timedelta(0),
    ) -> Page:
        seconds = wait.total_seconds()
        query = {
            **self._fixed,
            "after": str(position),
            "limit": str(limit),
            "wait": f"{seconds:.3f}",
        }
        if last is not None:
            query["after_hash"] = last.hex()
        timeout = aiohttp.ClientTimeout(
            total=seconds + ANSWER_TIMEOUT, sock_connect=CONNECT_TIMEOUT
        )
        try:
            async with self._session.get(
                self._url,
                params=query,
                headers=self._headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                body = await _read_body(response)
                status, headers = response.status, response.headers
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise SourceUnavailable(f"no answer: {type(error).__name__}") from error
        if status == 409 and _is_divergence(body):  # noqa: PLR2004
            raise LogDiverged(f"the owner has another event at {position}")
        if status != 200:  # noqa: PLR2004
            raise SourceUnavailable(f"the owner answered {status}")
        return _page_of(position, headers, body)


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MAX_BODY:
            response.close()
            raise SourceUnavailable("the answer is too long")
        parts.append(part)
    return b"".join(parts)


class _Problem(msgspec.Struct):
    type: str = "about:blank"


def _is_divergence(body: bytes) -> bool:
    """Whether a 409 is the owner's own; a proxy's must not make us rebuild."""
    try:
        return msgspec.json.decode(body, type=_Problem).type == LOG_DIVERGED.uri
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def _page_of(position: int, headers: Mapping[str, str], body: bytes) -> Page:
    head, head_hash, max_age = (
        headers.get(name, "") for name in (HEAD, HEAD_HASH, MAX_AGE)
    )
    if not (
        _POSITION.fullmatch(head)
        and _HASH.fullmatch(head_hash)
        and _SECONDS.fullmatch(max_age)
    ):
        raise SourceUnavailable("the answer does not say where the log ends")
    try:
        events = decode_lines(body)
    except UnreadableMessage as error:
        raise SourceUnavailable(f"the answer cannot be read: {error}") from error
    if events and (
        events[0].position != position + 1
        or events[-1].position != position + len(events)
    ):
        raise SourceUnavailable("the answer skips events")
    return Page(
        events,
        LogHead(int(head), bytes.fromhex(head_hash)),
        timedelta(seconds=float(max_age)),
    )
