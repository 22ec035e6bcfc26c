"""What goes on, and what is refused, while a part is down: the table of ARCHITECTURE.

A frozen process (SIGSTOP) is the meanest kind of down: its port still accepts.
"""

import signal
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import requests
from segment.analytics.client import Client
from tests.acceptance.conftest import running, wait_until
from tests.acceptance.site import ANSWER, Site, eventually


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
        # The issuer may have heard of it, and revokes all when it goes on: before this.
        eventually(
            lambda: (
                site.revoke(site.stack.issuer_url, {"token": token}).ok
                and site.send(token).status_code == 401
            )
        )


class TestPostgresFrozen:
    def test_commands_and_tokens_are_refused_in_time_and_the_gateway_goes_on(
        self, site: Site
    ) -> None:
        token = site.token()
        assert site.send(token).status_code == 200
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
