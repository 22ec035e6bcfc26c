"""`make demo`: what tollgate is for, told with the official Python SDK.

Every claim is checked against the `messageId`s that the tracking API stored; the first
one that does not hold ends the story. It needs a stack that runs and leaves no app and
no source behind.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from aiohttp import ClientSession
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from segment.analytics.client import (  # type: ignore[import-untyped]
    Client as SegmentClient,
)

from local_stack.admin_api import AdminApi, admin_api
from local_stack.stack_file import StackFile
from local_stack.tracking_api import AcceptedRequest

_PATIENCE = 15.0  # seconds for anything that has to come true
_POLL = 0.05
_STEADY_INTERVAL = 0.02
_STEADY_LEAD = 0.5
_EVENTS = 5
_CLOCK_MARGIN = timedelta(seconds=5)

# What the audit must tell of the app and the source, in this order.
_CHAPTERS = (
    "source.created",
    "source.write_key_added",
    "oauth_app.created",
    "oauth_app.key_added",
    "source.oauth_app_connected",
    "source.enforcement_changed",  # report
    "source.enforcement_changed",  # enforce
    "oauth_app.token_issued",
    "oauth_app.token_issued",
    "oauth_app.token_revoked",
    "oauth_app.token_issued",  # in its place, by the SDK itself
    "source.enforcement_changed",  # off
    "source.oauth_app_disconnected",
    "oauth_app.deleted",
    "source.deleted",
)


class StoryBroken(Exception):
    """Something is not as the story tells it."""


class AppKey:
    """A key pair of an app, in the two forms that travel."""

    def __init__(self) -> None:
        key = rsa.generate_private_key(65537, 2048)
        self.private_pem = key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode()
        self.public_pem = (
            key.public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )


class App(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    kid: str
    key: AppKey


class Sender:
    """A server that sends events with the official SDK."""

    def __init__(
        self, stack: StackFile, write_key: str, app: App | None = None
    ) -> None:
        self.sent: list[str] = []
        self.refused: list[tuple[str, list[str]]] = []
        as_app = (
            {
                "oauth_client_id": app.id,
                "oauth_client_key": app.key.private_pem,
                "oauth_key_id": app.kid,
                "oauth_auth_server": stack.issuer_url,
            }
            if app
            else {}
        )
        self._client = SegmentClient(
            write_key,
            host=stack.gateway_url,
            on_error=self._note_refusal,
            upload_interval=0.1,
            **as_app,
        )

    def send(self, count: int = 1) -> None:
        """Queue events; the SDK uploads them in batches of its own choice."""
        for _ in range(count):
            _, event = self._client.track("user-1", "Order Completed", {"total": 42})
            self.sent.append(event["messageId"])

    async def finish(self) -> None:
        """Wait until every event was taken or given up."""
        async with asyncio.timeout(_PATIENCE):
            await asyncio.to_thread(self._client.flush)

    def close(self) -> None:
        self._client.join()

    @property
    def access_token(self) -> str:
        return str(self._client.oauth_manager.token)

    def _note_refusal(self, error: Exception, batch: list[dict[str, Any]]) -> None:
        self.refused.append((str(error), [event["messageId"] for event in batch]))


class Storyteller:
    """The cast of the story and the means to check it."""

    def __init__(self, stack: StackFile, api: AdminApi, session: ClientSession) -> None:
        self.stack = stack
        self._began = datetime.now(UTC) - _CLOCK_MARGIN
        self._api = api
        self._session = session

    async def tell(self) -> None:
        source_id, write_key = await self._make_source()
        await self._nobody_asks(write_key)
        app = await self._connect_an_app(source_id)
        await self._only_report(source_id, write_key)
        await self._enforce(source_id, write_key)
        await self._send_with_a_token(write_key, app)
        await self._revoke_while_sending(write_key, app)
        await self._say_goodbye(source_id, write_key, app)
        await self._read_the_audit(source_id, app)

    async def _make_source(self) -> tuple[str, str]:
        _heading("A server gets a source and a write key")
        source = await self._api.call(
            "POST", "/v1/sources", {"name": "Shop", "type": "python"}
        )
        key = await self._api.call("POST", f"/v1/sources/{source['id']}/write-keys", {})
        _line(f"source {source['id']}, enforcement {source['enforcement']}")
        return source["id"], key["write_key"]

    async def _nobody_asks(self, write_key: str) -> None:
        _heading("OAuth is off: whoever knows the write key may send")
        async with self._sender(write_key) as sender:
            sender.send(_EVENTS)
            await sender.finish()
            await self._all_arrived(sender)

    async def _connect_an_app(self, source_id: str) -> App:
        _heading("An administrator registers the server's public key as an app")
        key = AppKey()
        made = await self._api.call(
            "POST",
            "/v1/oauth-apps",
            {
                "name": "Shop server",
                "public_key": {"name": "first", "pem": key.public_pem},
                "token_lifetime": "1d",
                "scopes": ["tracking_api:write"],
            },
        )
        await self._api.call(
            "PUT", f"/v1/sources/{source_id}/oauth-app", {"app_id": made["id"]}
        )
        _line(f"app {made['id']}, connected to the source")
        return App(id=made["id"], kid=made["keys"][0]["kid"], key=key)

    async def _only_report(self, source_id: str, write_key: str) -> None:
        _heading(
            "Enforcement is set to report: it decides and counts, and lets through"
        )
        await self._set_enforcement(source_id, "report")
        async with self._sender(write_key) as sender:
            sender.send(_EVENTS)
            await sender.finish()
            await self._all_arrived(sender)

    async def _enforce(self, source_id: str, write_key: str) -> None:
        _heading("Enforcement is on: without a token nothing gets through")
        began = time.monotonic()
        await self._set_enforcement(source_id, "enforce")
        await self._until("the gateway enforces", lambda: self._is_refused(write_key))
        _line(f"the gateway enforces {_elapsed(began)} after the request to do so")
        async with self._sender(write_key) as sender:
            sender.send(_EVENTS)
            await sender.finish()
            _line(
                f"the SDK is told: {sender.refused[0][0] if sender.refused else None}"
            )
            await self._none_arrived(sender)

    async def _send_with_a_token(self, write_key: str, app: App) -> None:
        _heading("The server proves who it is, gets a token, and is let through")
        async with self._sender(write_key, app) as sender:
            sender.send(_EVENTS)
            await sender.finish()
            await self._all_arrived(sender)
            _line(f"with an access token of {len(sender.access_token)} characters")

    async def _revoke_while_sending(self, write_key: str, app: App) -> None:
        _heading("Its token leaks and is revoked while it keeps sending")
        async with self._sender(write_key, app) as sender:
            steady = asyncio.create_task(_send_steadily(sender))
            try:
                await self._until(
                    "a token is in use", lambda: _true_if(sender.access_token != "None")
                )
                await asyncio.sleep(_STEADY_LEAD)
                leaked = sender.access_token
                began = time.monotonic()
                await self._api.call(
                    "POST", f"/v1/oauth-apps/{app.id}/revocations", {"token": leaked}
                )
                _line(f"the revocation is in the log after {_elapsed(began)}")
                await self._until(
                    "the gateway refuses the leaked token",
                    lambda: self._is_refused(write_key, bearer=leaked),
                )
                _line(f"the gateway refuses the leaked token after {_elapsed(began)}")
                await self._until(
                    "the SDK has another token",
                    lambda: _true_if(sender.access_token not in {leaked, "None"}),
                )
                await asyncio.sleep(_STEADY_LEAD)
            finally:
                steady.cancel()
            await sender.finish()
            await self._all_arrived(sender)
            again = await self._sent_again(sender.sent)
            if not again:
                raise StoryBroken("the SDK was never refused, so nothing is proven")
            _line(f"{again} of them were refused at first: the SDK fetched a new token")

    async def _say_goodbye(self, source_id: str, write_key: str, app: App) -> None:
        _heading("The app is disconnected and deleted")
        await self._set_enforcement(source_id, "off")
        await self._api.call("DELETE", f"/v1/sources/{source_id}/oauth-app")
        await self._api.call(
            "DELETE", f"/v1/oauth-apps/{app.id}", query={"confirm_name": "Shop server"}
        )
        await self._until(
            "the issuer knows the app no more",
            lambda: self._gets_no_token(write_key, app),
        )
        _line("it gets no token any more")
        await self._api.call("DELETE", f"/v1/sources/{source_id}")

    async def _read_the_audit(self, source_id: str, app: App) -> None:
        _heading("The audit tells the story back")
        streams = {f"source-{source_id}", f"oauth_app-{app.id}"}
        told = [event async for event in self._audit() if event["stream"] in streams]
        for event in told:
            details = event["data"].get("mode") or event["data"].get("name") or ""
            _line(f"{event['recorded_at'][11:23]}  {event['type']:<32} {details}")
        types = iter(event["type"] for event in told)
        # As a subsequence: `in` goes on where the one before was found.
        missing = [chapter for chapter in _CHAPTERS if chapter not in types]
        if missing:
            raise StoryBroken(f"the audit does not tell, in this order: {missing}")

    async def _audit(self) -> AsyncIterator[dict[str, Any]]:
        """Every event of the workspace since the story began, oldest first."""
        query = {"since": self._began.isoformat().replace("+00:00", "Z")}
        while True:
            page = await self._api.call("GET", "/v1/audit/events", query=query)
            for event in page["data"]:
                yield event
            if page["next_cursor"] is None:
                return
            query["cursor"] = page["next_cursor"]

    async def _set_enforcement(self, source_id: str, mode: str) -> None:
        path = f"/v1/sources/{source_id}/enforcement"
        await self._api.call("PUT", path, {"mode": mode})

    @asynccontextmanager
    async def _sender(
        self, write_key: str, app: App | None = None
    ) -> AsyncIterator[Sender]:
        sender = Sender(self.stack, write_key, app)
        try:
            yield sender
        finally:
            await asyncio.to_thread(sender.close)

    async def _all_arrived(self, sender: Sender) -> None:
        if sender.refused:
            raise StoryBroken(f"the SDK gave events up: {sender.refused}")
        await self._until(
            "every event is with the tracking API",
            lambda: self._have_arrived(sender.sent),
        )
        _line(f"sent {len(sender.sent)} events, all {len(sender.sent)} arrived")

    async def _none_arrived(self, sender: Sender) -> None:
        given_up = [event for _, batch in sender.refused for event in batch]
        if given_up != sender.sent:
            raise StoryBroken(f"of {sender.sent} the SDK gave up only {given_up}")
        arrived = (await self._arrived()).intersection(sender.sent)
        if arrived:
            raise StoryBroken(f"these were refused and arrived all the same: {arrived}")
        _line(f"sent {len(sender.sent)} events, none arrived")

    async def _have_arrived(self, message_ids: Iterable[str]) -> bool:
        return (await self._arrived()).issuperset(message_ids)

    async def _arrived(self) -> set[str]:
        """The `messageId`s of every event that the tracking API stored."""
        requests = await self._accepted()
        return {event for request in requests for event in request.message_ids}

    async def _sent_again(self, message_ids: list[str]) -> int:
        """How many of these were taken at another try than the first."""
        retried = {
            event
            for request in await self._accepted()
            if "x-retry-count" in request.headers
            for event in request.message_ids
        }
        return len(retried.intersection(message_ids))

    async def _accepted(self) -> list[AcceptedRequest]:
        async with self._session.get(f"{self.stack.upstream_url}/events") as answer:
            lines = await answer.read()
        return msgspec.json.Decoder(AcceptedRequest).decode_lines(lines)

    async def _is_refused(self, write_key: str, bearer: str | None = None) -> bool:
        """Whether the gateway turns one request away, for good or until a new token."""
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        probe = {"writeKey": write_key, "type": "track", "event": "Probe"}
        probe |= {"userId": "probe", "messageId": f"probe-{secrets.token_hex(8)}"}
        url = f"{self.stack.gateway_url}/v1/track"
        async with self._session.post(url, json=probe, headers=headers) as answer:
            return answer.status in {401, 511}

    async def _gets_no_token(self, write_key: str, app: App) -> bool:
        async with self._sender(write_key, app) as sender:
            sender.send()
            await sender.finish()
            return bool(sender.refused)

    async def _until(self, what: str, holds: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not await holds():
            if time.monotonic() > deadline:
                raise StoryBroken(f"not so within {_PATIENCE:g} s: {what}")
            await asyncio.sleep(_POLL)


async def tell_story(stack: StackFile) -> None:
    """Tell it, or raise `StoryBroken` or `ApiRefused` at the first wrong step."""
    logging.getLogger("segment").setLevel(logging.CRITICAL)  # refusals are expected
    async with (
        admin_api(stack.registry_url, stack.owner_token) as api,
        ClientSession() as session,
    ):
        await Storyteller(stack, api, session).tell()
    _heading("Every claim was checked against what the tracking API stored.")


async def _send_steadily(sender: Sender) -> None:
    while True:
        sender.send()
        await asyncio.sleep(_STEADY_INTERVAL)


async def _true_if(condition: object) -> bool:
    return bool(condition)


def _elapsed(began: float) -> str:
    return f"{1000 * (time.monotonic() - began):.0f} ms"


def _heading(text: str) -> None:
    print(f"\n{text}", flush=True)


def _line(text: str) -> None:
    print(f"  {text}", flush=True)
