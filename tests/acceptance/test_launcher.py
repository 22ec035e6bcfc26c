"""`make run`: one command brings everything up, and leaves nothing behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.acceptance.conftest import START_TIMEOUT, Launcher, running, wait_until

from local_stack.postgres import Postgres
from local_stack.stack_file import read_stack_file
from local_stack.testing import VirtualHost

pytestmark = pytest.mark.timeout(300)  # a test starts up to three whole stacks


def command(
    name: str, copy: Path, timeout: float = 20
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local_stack", name],
        check=False,
        cwd=copy,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@pytest.fixture(scope="module")
def copy(make_copy: Callable[[], Path]) -> Path:
    return make_copy()


@pytest.fixture(scope="module")
def launcher(copy: Path) -> Iterator[Launcher]:
    with running(copy) as launcher:
        yield launcher


def test_scripts_find_everything_in_one_private_file(
    copy: Path, launcher: Launcher
) -> None:
    path = copy / ".local/stack.json"
    stack = json.loads(path.read_text())
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(stack) == {
        "registry_url",
        "issuer_url",
        "gateway_url",
        "gateway_status_url",
        "upstream_url",
        "upstream_log",
        "database_urls",
        "amqp_url",
        "owner_token",
        "workspace_id",
        "demo",
    }
    assert set(stack["database_urls"]) == {"app_registry", "token_issuer"}
    assert set(stack["demo"]) == {
        "source_id",
        "write_key",
        "client_id",
        "kid",
        "private_key_path",
    }
    assert stack["owner_token"] in launcher.screen
    key = Path(stack["demo"]["private_key_path"])
    assert key.stat().st_mode & 0o777 == 0o600


def test_the_snippet_sends_an_event_when_it_is_pasted(
    copy: Path, launcher: Launcher
) -> None:
    stack = read_stack_file(copy / ".local/stack.json")
    snippet = launcher.screen[launcher.screen.index("import segment") :]
    pasted = snippet[
        : snippet.index("analytics.shutdown()") + len("analytics.shutdown()")
    ]

    subprocess.run([sys.executable, "-c", pasted], check=True, timeout=60)

    taken = Path(stack.upstream_log).read_bytes().splitlines()
    (event,) = json.loads(taken[-1])["body"]["batch"]
    assert event["event"] == "Order Completed"
    assert json.loads(taken[-1])["headers"]["tollgate-client-id"] == (
        stack.demo.client_id
    )


def test_the_demo_tells_the_whole_story(copy: Path, launcher: Launcher) -> None:
    demo = command("demo", copy, timeout=90)
    assert demo.returncode == 0, demo.stdout + demo.stderr + launcher.screen
    assert "sent 5 events, none arrived" in demo.stdout
    assert "of them were refused at first" in demo.stdout
    assert "oauth_app.deleted" in demo.stdout


def test_the_demo_says_what_it_needs(make_copy: Callable[[], Path]) -> None:
    demo = command("demo", make_copy())
    assert demo.returncode == 1
    assert demo.stderr == (
        "tollgate: nothing runs in this copy: `make run` first, elsewhere\n"
    )


def test_a_second_run_in_the_same_copy_names_the_first(
    copy: Path, launcher: Launcher
) -> None:
    second = command("run", copy)
    assert second.returncode == 1
    assert second.stdout == ""
    assert second.stderr == (
        f"tollgate: one is running in this copy (process {launcher.process.pid}): "
        "use that one, or stop it with Ctrl-C\n"
    )


def test_its_state_is_not_forgotten_while_it_runs(
    copy: Path, launcher: Launcher
) -> None:
    assert command("forget", copy).returncode == 1
    assert launcher.memory.ports


@pytest.mark.parametrize("name", ["enforcement-gateway", "Postgres", "RabbitMQ"])
def test_what_is_killed_is_started_again(launcher: Launcher, name: str) -> None:
    def ready() -> list[str]:
        return re.findall(rf"{name} +ready, process (\d+)", launcher.screen)

    first = ready()
    os.kill(int(first[-1]), signal.SIGKILL)

    wait_until(
        lambda: len(ready()) > len(first), START_TIMEOUT, lambda: launcher.screen
    )
    assert re.search(rf"{name} +ended by itself \(signal SIGKILL\)", launcher.screen)


def test_it_goes_on_where_it_stopped_and_dies_with_its_launcher(
    make_copy: Callable[[], Path], launcher: Launcher
) -> None:
    beside = make_copy()
    with running(beside) as first:
        before = first.memory
        assert not set(before.ports.values()) & set(launcher.memory.ports.values())
        assert first.stop(signal.SIGTERM) == 0

    with running(beside) as second:
        assert second.memory == before
        second.process.kill()
        second.process.wait()

    with running(beside) as third:
        assert third.memory == before


def test_servers_that_run_already_can_be_given(
    make_copy: Callable[[], Path],
    private_postgres: Postgres,
    virtual_host: VirtualHost,
) -> None:
    given = {
        "TOLLGATE_DATABASE_URL": private_postgres.url,
        "TOLLGATE_AMQP_URL": virtual_host.url,
    }
    with running(make_copy(), **given) as launcher:
        assert re.search(r"Postgres +given: 127.0.0.1:", launcher.screen)
        assert re.search(r"RabbitMQ +given: 127.0.0.1:", launcher.screen)
    refused = Launcher(make_copy(), **given)
    assert refused.process.wait(START_TIMEOUT) == 1
    assert "has a database app_registry that another copy made" in refused.screen


def test_a_chosen_port_that_is_taken_costs_one_line(
    make_copy: Callable[[], Path],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        refused = Launcher(make_copy(), TOLLGATE_GATEWAY_PORT=str(port))
        assert refused.process.wait(20) == 1
    assert refused.screen.splitlines()[-1] == (
        f"tollgate: port {port} is taken: stop what listens there, "
        "or set TOLLGATE_GATEWAY_PORT to another"
    )
    assert "Traceback" not in refused.screen
