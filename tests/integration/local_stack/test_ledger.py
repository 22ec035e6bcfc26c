"""What a killed launcher leaves behind is found and ended, and nothing else."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.children import Child
from local_stack.ledger import Ledger, ProcessIdentity, identify, wait_until_gone

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
IGNORE_SIGTERM = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""
DEAF = [sys.executable, "-c", IGNORE_SIGTERM]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEP) as process:
        yield process
        process.kill()


def test_a_process_that_was_recorded_is_ended(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    Ledger(tmp_path / "ledger").record("sleeper", sleeper.pid, signal.SIGTERM)

    assert Ledger(tmp_path / "ledger").end_leftovers() == ["sleeper"]
    assert sleeper.wait(5) == -signal.SIGTERM
    assert Ledger(tmp_path / "ledger").end_leftovers() == []


def test_a_process_that_was_forgotten_is_let_be(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.record("sleeper", sleeper.pid, signal.SIGTERM)
    ledger.forget(sleeper.pid)

    assert Ledger(tmp_path / "ledger").end_leftovers() == []
    assert sleeper.poll() is None


def test_a_later_process_with_the_same_id_is_let_be(
    sleeper: subprocess.Popen[bytes],
) -> None:
    mine = identify(sleeper.pid)
    assert mine is not None
    earlier = ProcessIdentity(mine.pid, mine.started - 1, mine.boot_id)
    other_boot = ProcessIdentity(mine.pid, mine.started, "another")
    for identity in (earlier, other_boot):
        assert not identity.is_running()
        identity.send(signal.SIGKILL)
    assert sleeper.poll() is None


def test_a_child_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    child = Child(
        "deaf",
        DEAF,
        log=tmp_path / "log",
        ledger=Ledger(tmp_path / "ledger"),
        environment={},
    )
    identity = identify(child.pid)
    assert identity is not None
    while "deaf" not in (tmp_path / "log").read_text():
        assert identity.is_running()

    assert child.stop(timeout=0.2) is False
    assert child.exit_code() == -signal.SIGKILL
    assert not identity.is_running()


def test_children_end_when_the_launcher_is_killed(tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)  # opened by the child, which is then tied to the launcher
    tell_and_sleep = f"import time; open({str(started)!r}, 'w').close(); time.sleep(60)"
    command = [sys.executable, "-c", tell_and_sleep]
    launcher = f"""
import sys, time
from pathlib import Path
from local_stack.children import Child
from local_stack.ledger import Ledger
child = Child("sleeper", {command!r}, log=Path({str(tmp_path / "log")!r}),
              ledger=Ledger(Path({str(tmp_path / "ledger")!r})), environment={{}})
print(child.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", launcher], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        child = identify(int(process.stdout.readline()))
        assert child is not None
        started.read_bytes()
        os.kill(process.pid, signal.SIGKILL)

    assert wait_until_gone([child], timeout=5)
