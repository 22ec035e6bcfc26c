"""The app-registry's HTTP API, as an administrator's script uses it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout

_TIMEOUT = ClientTimeout(total=30)


class ApiRefused(Exception):
    """The registry said no; the text holds its status and its reason."""


class AdminApi:
    """Calls with the access token of one administrator."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        idempotency_key: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Any:  # noqa: ANN401  # what the JSON holds
        """Send one request and decode what comes back, or raise `ApiRefused`."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        try:
            async with self._session.request(
                method, self._url + path, json=body, headers=headers, params=query
            ) as response:
                content = await response.read()
        except (ClientError, TimeoutError) as error:
            raise ApiRefused(f"{method} {path}: no answer ({error!r})") from error
        if not response.ok:
            reason = content.decode(errors="replace")
            raise ApiRefused(f"{method} {path}: {response.status} {reason}")
        return msgspec.json.decode(content or b"null")


@asynccontextmanager
async def admin_api(url: str, access_token: str) -> AsyncIterator[AdminApi]:
    headers = {"Authorization": f"Bearer {access_token}"}
    async with ClientSession(headers=headers, timeout=_TIMEOUT) as session:
        yield AdminApi(session, url)
