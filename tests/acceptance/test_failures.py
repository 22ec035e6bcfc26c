"""What goes on, and what is refused, while a part is down: the table of ARCHITECTURE.

A frozen process (SIGSTOP) is the meanest kind of down: its port still accepts.
"""

import json
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import jwt
import pytest
import requests
from segment.analytics.client import Client
from tests.acceptance.conftest import Launcher, running, wait_until

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


@pytest.fixture(scope="module")
def site(make_copy: Callable[[], Path]) -> Iterator[Site]:
    copy = make_copy()
    with running(copy) as launcher:
        site = Site(copy, launcher)
        source = f"{site.stack.registry_url}/v1/sources/{site.stack.demo.source_id}"
        answer = site.admin("PUT", f"{source}/enforcement", {"mode": "enforce"})
        assert answer.status_code == 200, answer.text
        eventually(lambda: site.send(None).status_code == 401)
        yield site


def eventually(condition: Callable[[], bool]) -> None:
    wait_until(condition, PATIENCE, lambda: "it did not come true")


class TestRabbitMQFrozen:
    def test_commands_are_accepted_and_a_revocation_arrives_by_polling(
        self, site: Site
    ) -> None:
        token = site.token()
        assert site.send(token).status_code == 200
        with site.frozen("RabbitMQ"):
            answer = site.revoke(site.stack.registry_url, {"token": token})
            assert answer.status_code == 201, answer.text
            eventually(lambda: site.send(token).status_code == 401)
            assert site.send(site.token()).status_code == 200


class TestRegistryFrozen:
    def test_a_leaked_token_is_revoked_at_the_issuer(self, site: Site) -> None:
        token = site.token()
        with site.frozen("app-registry"):
            answer = site.revoke(site.stack.issuer_url, {"token": token})
            assert answer.status_code == 201, answer.text
            eventually(lambda: site.send(token).status_code == 401)
            assert site.send(site.token()).status_code == 200


class TestIssuerFrozen:
    def test_the_gateway_goes_on_and_revoking_is_refused_in_time(
        self, site: Site
    ) -> None:
        token = site.token()
        with site.frozen("token-issuer"):
            assert site.send(token).status_code == 200
            answer = site.revoke(site.stack.registry_url, {"all": True})
            assert answer.status_code == 503, answer.text
            assert "Retry-After" in answer.headers


class TestPostgresFrozen:
    def test_commands_and_tokens_are_refused_in_time_and_the_gateway_goes_on(
        self, site: Site
    ) -> None:
        token = site.token()
        with site.frozen("Postgres"):
            assert site.send(token).status_code == 200
            answer = site.admin(
                "POST",
                f"{site.stack.registry_url}/v1/sources",
                {"name": "S", "type": "python"},
            )
            assert answer.status_code == 503, answer.text
            assert site.ask_token().status_code == 503
            assert site.send(token).status_code == 200
        eventually(lambda: site.ask_token().status_code == 200)
        eventually(
            lambda: (
                site.admin(
                    "POST",
                    f"{site.stack.registry_url}/v1/sources",
                    {"name": "S", "type": "python"},
                ).status_code
                == 201
            )
        )


class TestEverythingButTheGatewayFrozen:
    def test_a_gateway_that_restarts_enforces_from_its_snapshot(
        self, site: Site
    ) -> None:
        token, revoked = site.token(), site.token()
        site.revoke(site.stack.registry_url, {"token": revoked})
        eventually(lambda: site.send(revoked).status_code == 401)
        snapshot = site.copy / ".local/state/enforcement-gateway.snapshot"
        known = time.time()
        wait_until(
            lambda: snapshot.exists() and snapshot.stat().st_mtime > known,
            60,
            lambda: "no snapshot was written",
        )
        with site.frozen("app-registry", "token-issuer", "RabbitMQ", "Postgres"):
            site.kill("enforcement-gateway")
            assert site.send(token).status_code == 200
            assert site.send(revoked).status_code == 401
            assert site.send(None).status_code == 401
            status = requests.get(
                f"{site.stack.gateway_status_url}/status", timeout=ANSWER
            ).json()
            assert status["workers"][0]["view"]["age"] > 0


class TestKilledWhileEventsFlow:
    @pytest.mark.parametrize(
        "name", ["app-registry", "token-issuer", "enforcement-gateway"]
    )
    def test_not_one_event_is_lost(self, site: Site, name: str) -> None:
        refused: list[object] = []
        client = Client(
            site.stack.demo.write_key,
            host=site.stack.gateway_url,
            oauth_client_id=site.stack.demo.client_id,
            oauth_client_key=Path(site.stack.demo.private_key_path).read_text(),
            oauth_key_id=site.stack.demo.kid,
            oauth_auth_server=site.stack.issuer_url,
            on_error=lambda error, _events: refused.append(error),
            upload_size=5,
        )
        sent = set()
        for number in range(60):
            if number == 20:
                # Without a token yet, the SDK drops a batch when no issuer answers.
                client.flush()
                site.signal(name, signal.SIGKILL)
            message_id = str(uuid.uuid4())
            client.track("user", "Event", message_id=message_id)
            sent.add(message_id)
        client.shutdown()
        assert refused == []
        assert sent <= site.stored()
        eventually(lambda: site.is_ready(name))


def test_what_was_acknowledged_is_in_the_log_after_every_kill(site: Site) -> None:
    """Commands with a key each while the registry is killed; then they are listed."""
    url = f"{site.stack.registry_url}/v1/sources"
    acknowledged: set[str] = set()
    for number in range(30):
        if number in (10, 20):
            site.signal("app-registry", signal.SIGKILL)
        body = {"name": f"Survivor {number}", "type": "python"}
        headers = {
            "Authorization": f"Bearer {site.stack.owner_token}",
            "Idempotency-Key": f"survivor-{number}",
        }

        def try_it(body: object = body, headers: Mapping[str, str] = headers) -> bool:
            try:
                answer = requests.post(url, json=body, headers=headers, timeout=ANSWER)
            except requests.RequestException:
                return False
            if answer.status_code == 201:
                acknowledged.add(answer.json()["id"])
            return answer.status_code == 201

        eventually(try_it)
    assert len(acknowledged) == 30
    listed: list[str] = []
    query = "?limit=200"
    while query:
        page = site.admin("GET", url + query).json()
        listed += [each["id"] for each in page["data"] if "Survivor" in each["name"]]
        query = (
            f"?limit=200&cursor={page['next_cursor']}" if page["next_cursor"] else ""
        )
    assert sorted(listed) == sorted(acknowledged)
