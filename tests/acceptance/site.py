"""A running stack as its users see it, and its processes."""

import json
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import jwt
import requests
from tests.acceptance.conftest import Launcher, wait_until

from local_stack.ledger import descendants
from local_stack.stack_file import StackFile, read_stack_file

PATIENCE = 20.0
"""Seconds for what must come true after a fault has ended."""

ANSWER = 12.0
"""Seconds within which a request is answered, whatever is down."""


class Site:
    """The stack as its users see it, and its processes."""

    def __init__(self, copy: Path, launcher: Launcher) -> None:
        self.launcher = launcher
        self.copy = copy
        self.stack: StackFile = read_stack_file(copy / ".local/stack.json")

    # --- users ---

    def token(self) -> str:
        """A fresh access token of the demo app."""
        answer = self.ask_token()
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def ask_token(self) -> requests.Response:
        key = Path(self.stack.demo.private_key_path).read_text()
        return requests.post(
            f"{self.stack.issuer_url}/token",
            data={
                "grant_type": "client_credentials",
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": assertion(self.stack, key),
            },
            timeout=ANSWER,
        )

    def send(self, token: str | None) -> requests.Response:
        """One batch with one event through the gateway."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        event = {"type": "track", "event": "E", "messageId": str(uuid.uuid4())}
        return requests.post(
            f"{self.stack.gateway_url}/v1/batch",
            json={"writeKey": self.stack.demo.write_key, "batch": [event]},
            headers=headers,
            timeout=ANSWER,
        )

    def admin(self, method: str, url: str, body: object = None) -> requests.Response:
        return requests.request(
            method,
            url,
            json=body,
            headers={"Authorization": f"Bearer {self.stack.owner_token}"},
            timeout=ANSWER,
        )

    def revoke(self, owner: str, body: Mapping[str, object]) -> requests.Response:
        """Ask the service at `owner` to revoke tokens of the demo app."""
        app = self.stack.demo.client_id
        return self.admin("POST", f"{owner}/v1/oauth-apps/{app}/revocations", body)

    def stored(self) -> set[str]:
        """The `messageId`s that the tracking API has."""
        lines = Path(self.stack.upstream_log).read_bytes().splitlines()
        return {name for line in lines for name in json.loads(line)["message_ids"]}

    # --- processes ---

    def pid(self, name: str) -> int:
        ledger = json.loads((self.copy / ".local/state/processes.json").read_bytes())
        return int(
            next(each["identity"]["pid"] for each in ledger if each["name"] == name)
        )

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until the launcher has another one ready."""
        before = self.pid(name)
        self.signal(name, signal.SIGKILL)
        wait_until(
            lambda: (
                self.pid_or_none(name) not in (None, before) and self.is_ready(name)
            ),
            60,
            lambda: self.launcher.screen,
        )

    def pid_or_none(self, name: str) -> int | None:
        try:
            return self.pid(name)
        except StopIteration:
            return None

    def is_ready(self, name: str) -> bool:
        url = {
            "app-registry": self.stack.registry_url,
            "token-issuer": self.stack.issuer_url,
            "enforcement-gateway": self.stack.gateway_status_url,
        }[name]
        try:
            return requests.get(f"{url}/readyz", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def signal(self, name: str, signum: signal.Signals) -> None:
        """To the process and, where it is a server of others, to all that it started.

        The gateway's workers notice by themselves that their parent is gone.
        """
        pid = self.pid(name)
        if name in ("RabbitMQ", "Postgres"):
            for each in descendants(pid):
                each.send(signum)
        os.kill(pid, signum)

    @contextmanager
    def frozen(self, *names: str) -> Iterator[None]:
        for name in names:
            self.signal(name, signal.SIGSTOP)
        try:
            yield
        finally:
            for name in names:
                self.signal(name, signal.SIGCONT)


ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def assertion(stack: StackFile, private_key: str) -> str:
    now = int(time.time())
    return jwt.encode(
        {
            "iss": stack.demo.client_id,
            "sub": stack.demo.client_id,
            "aud": stack.issuer_url,
            "iat": now - 5,
            "exp": now + 55,
            "jti": str(uuid.uuid4()),
        },
        private_key,
        "RS256",
        headers={"kid": stack.demo.kid},
    )


def eventually(condition: Callable[[], bool]) -> None:
    wait_until(condition, PATIENCE, lambda: "it did not come true")
