"""What one run leaves to the next."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.choices import Choices, read_choices
from local_stack.failures import CannotStart
from local_stack.memory import Memory, recall, settle_ports, settle_servers


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_it_is_read_back_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    memory = Memory(ports={"amqp": 20_001})
    secret = memory.secret("database")
    memory.save(tmp_path / "state" / "memory.json")

    recalled = recall(tmp_path / "state" / "memory.json")
    assert recalled == memory
    assert recalled.secret("database") == secret
    assert (tmp_path / "state" / "memory.json").stat().st_mode & 0o777 == 0o600


def test_an_unreadable_one_tells_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "memory.json").write_text("{")
    with pytest.raises(CannotStart, match="make clean-local"):
        recall(tmp_path / "memory.json")


class TestPorts:
    def test_every_port_is_another(self) -> None:
        memory = Memory()
        settle_ports(memory, Choices())
        assert len(set(memory.ports.values())) == len(memory.ports) == 9

    def test_last_times_ports_stay(self) -> None:
        memory = Memory()
        settle_ports(memory, Choices())
        before = dict(memory.ports)
        settle_ports(memory, Choices())
        assert memory.ports == before

    def test_a_remembered_port_that_is_taken_is_replaced(self, taken_port: int) -> None:
        memory = Memory(ports={"issuer": taken_port})
        settle_ports(memory, Choices())
        assert memory.ports["issuer"] != taken_port

    def test_a_chosen_port_that_is_taken_is_refused(self, taken_port: int) -> None:
        with pytest.raises(CannotStart, match="set TOLLGATE_ISSUER_PORT to another"):
            settle_ports(Memory(), Choices(issuer_port=taken_port))


class TestServers:
    def test_the_state_stays_on_its_server(self) -> None:
        memory = Memory()
        settle_servers(memory, "db:5432")
        settle_servers(memory, "db:5432")
        with pytest.raises(CannotStart, match="lives on the Postgres db:5432"):
            settle_servers(memory, None)


class TestChoices:
    def test_what_the_tests_are_told_is_not_meant_for_the_stack(self) -> None:
        assert read_choices({"TOLLGATE_TEST_AMQP_URL": "amqp://x"}) == Choices()

    def test_a_misspelt_choice_is_refused(self) -> None:
        with pytest.raises(CannotStart, match="TOLLGATE_ISUER_PORT is unknown"):
            read_choices({"TOLLGATE_ISUER_PORT": "1"})
