"""The admin API as one caller sees it."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import ClientSession
from yarl import URL

_JSON = frozenset({"application/json", "application/problem+json"})
_NONE: Mapping[str, str] = {}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back; `body` is decoded JSON, or None without one."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def problem(self) -> str:
        """The slug of the problem that it is."""
        assert self.headers["Content-Type"] == "application/problem+json", self
        assert self.body["status"] == self.status
        return str(self.body["type"]).removeprefix("urn:tollgate:problem:")

    @property
    def etag(self) -> str:
        return self.headers["ETag"]


class Api:
    """Calls the API at `url` with one access token, or with none."""

    def __init__(
        self, session: ClientSession, url: str, access_token: str | None
    ) -> None:
        self._session = session
        self.url = url.rstrip("/")
        self.access_token = access_token

    def as_(self, access_token: str | None) -> "Api":
        return Api(self._session, self.url, access_token)

    async def call(
        self,
        method: str,
        path: str,
        json: object = msgspec.UNSET,
        headers: Mapping[str, str] = _NONE,
        *,
        data: bytes | None = None,
    ) -> Answer:
        """`path` is sent as it is, not quoted again."""
        sent = dict(headers)
        if self.access_token is not None:
            sent.setdefault("Authorization", f"Bearer {self.access_token}")
        if json is not msgspec.UNSET:
            data = msgspec.json.encode(json)
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self._session.request(
            method, URL(self.url + path, encoded=True), data=data, headers=sent
        ) as response:
            raw = await response.read()
            is_json = response.content_type in _JSON
            return Answer(
                status=response.status,
                body=msgspec.json.decode(raw) if is_json and raw else None,
                headers=response.headers,
            )

    async def get(self, path: str, headers: Mapping[str, str] = _NONE) -> Answer:
        return await self.call("GET", path, headers=headers)

    async def post(
        self, path: str, json: object = _NONE, headers: Mapping[str, str] = _NONE
    ) -> Answer:
        return await self.call("POST", path, json, headers)

    async def put(
        self, path: str, json: object, headers: Mapping[str, str] = _NONE
    ) -> Answer:
        return await self.call("PUT", path, json, headers)

    async def patch(
        self, path: str, json: object, headers: Mapping[str, str] = _NONE
    ) -> Answer:
        return await self.call("PATCH", path, json, headers)

    async def delete(self, path: str, headers: Mapping[str, str] = _NONE) -> Answer:
        return await self.call("DELETE", path, headers=headers)

    async def made(self, path: str, json: object = _NONE) -> Any:  # noqa: ANN401
        """The body of what a POST makes, which must succeed."""
        answer = await self.post(path, json)
        assert answer.status == HTTPStatus.CREATED, answer
        return answer.body
