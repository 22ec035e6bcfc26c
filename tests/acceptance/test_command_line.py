"""`tollgate` against a running stack, as an administrator and a client use it."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.acceptance.conftest import running
from tests.acceptance.site import Site


@pytest.fixture(scope="module")
def site(make_copy: Callable[[], Path]) -> Iterator[Site]:
    copy = make_copy()
    with running(copy) as launcher:
        yield Site(copy, launcher)


def tollgate(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run in the folder of the copy, where the stack is found without being named."""
    return subprocess.run(
        [Path(sys.executable).with_name("tollgate"), *arguments],
        check=False,
        cwd=site.copy,
        capture_output=True,
        text=True,
        timeout=60,
    )


class TestToken:
    def test_it_is_good_at_the_gateway(self, site: Site) -> None:
        minted = tollgate(site, "token", "--scope", "tracking_api:write")
        assert minted.returncode == 0, minted.stderr
        assert site.send(minted.stdout.strip()).status_code == 200

    def test_the_whole_answer_can_be_had(self, site: Site) -> None:
        answer = json.loads(tollgate(site, "token", "--json").stdout)
        assert answer["token_type"] == "Bearer"
        assert answer["expires_in"] > 0

    def test_a_refusal_is_one_line_that_says_why(self, site: Site) -> None:
        refused = tollgate(site, "token", "--scope", "functions:write")
        assert refused.returncode == 1
        assert refused.stdout == ""
        assert "invalid_scope" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


class TestAuditEvents:
    def test_it_tells_what_happened_in_all_three_logs(self, site: Site) -> None:
        token = site.token()
        site.revoke(site.stack.registry_url, {"token": token})
        told = tollgate(site, "audit", "events")
        assert told.returncode == 0, told.stderr
        for log, fact in (
            ("registry", "source.created"),
            ("tokens", "oauth_app.token_revoked"),
            ("issuance", "oauth_app.token_issued"),
        ):
            assert any(f" {log}#" in line and fact in line for line in _lines(told))

    def test_it_tells_who_did_it_and_shows_no_secret(self, site: Site) -> None:
        told = tollgate(site, "audit", "events", "--type", "source.created")
        assert all("source.created" in line for line in _lines(told))
        assert any("by member-mem_" in line for line in _lines(told))
        everything = tollgate(site, "audit", "events", "--json").stdout
        _, _, secret = site.stack.owner_token.split("_", 2)
        assert secret not in everything

    def test_it_can_be_limited_to_one_thing_and_a_number(self, site: Site) -> None:
        app = f"oauth_app-{site.stack.demo.client_id}"
        told = tollgate(
            site, "audit", "events", "--stream", app, "--limit", "2", "--json"
        )
        events = [json.loads(line) for line in _lines(told)]
        assert [event["type"] for event in events] == [
            "oauth_app.created",
            "oauth_app.key_added",
        ]

    def test_a_stranger_is_told_so_in_one_line(self, site: Site) -> None:
        refused = tollgate(site, "audit", "events", "--access-token", "tg_x_y")
        assert refused.returncode == 1
        assert refused.stderr.startswith("Error: the registry answered 401")


class TestAuditVerify:
    def test_every_log_of_the_stack_is_untouched(self, site: Site) -> None:
        verified = tollgate(site, "audit", "verify")
        assert verified.returncode == 0, verified.stdout
        assert [line.split(":")[0] for line in _lines(verified)] == [
            "registry",
            "tokens",
            "issuance",
        ]


class TestAuditState:
    def test_it_knows_the_demo_workspace(self, site: Site) -> None:
        now = tollgate(site, "audit", "state", "--at", "2999-01-01")
        (workspace,) = json.loads(now.stdout)["workspaces"]
        assert workspace["id"] == site.stack.workspace_id
        assert workspace["oauth_apps"][0]["id"] == site.stack.demo.client_id


def _lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    return done.stdout.splitlines()
