"""Ports are given to one process at a time."""

import socket
import subprocess
import sys

import pytest

from local_stack import ports
from local_stack.failures import CannotStart
from local_stack.ports import LOOPBACK, free_ports, is_free

_SAY_AND_WAIT = """
import sys
from local_stack import ports

ports.random.choice = lambda candidates: {port}
try:
    print(*ports.free_ports(1), flush=True)
except ports.CannotStart:
    print("none", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """The only one that is chosen from then on, by this process."""
    (port,) = free_ports(1)
    ports._claims.pop().close()
    monkeypatch.setattr("local_stack.ports.random.choice", lambda _: port)
    return port


def test_all_that_are_given_at_once_are_different_and_free() -> None:
    given = free_ports(50)

    assert len(set(given)) == 50
    assert all(is_free(port) for port in given)


def test_a_port_is_given_once(port: int) -> None:
    assert free_ports(1) == [port]

    with pytest.raises(CannotStart):
        free_ports(1)


def test_a_port_that_a_server_listens_on_is_not_given(port: int) -> None:
    with (
        socket.create_server((LOOPBACK, port)),
        pytest.raises(CannotStart, match="no 1 free ports"),
    ):
        free_ports(1)


def test_another_process_is_not_given_the_same_port_until_this_one_ends(
    port: int,
) -> None:
    with _another_process(port) as other:
        assert _said_by(other) == str(port)

        with pytest.raises(CannotStart):
            free_ports(1)

        other.communicate()

    assert free_ports(1) == [port]
    with _another_process(port) as other:
        assert _said_by(other) == "none"
        other.communicate()


def test_a_server_listens_on_a_port_that_it_was_given(port: int) -> None:
    free_ports(1)

    with socket.create_server((LOOPBACK, port)):
        assert not is_free(port)


def test_no_more_than_two_hundred_are_held() -> None:
    free_ports(250)

    assert len(ports._claims) == 200


def _another_process(port: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _SAY_AND_WAIT.format(port=port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _said_by(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
