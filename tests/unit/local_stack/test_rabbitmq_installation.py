"""RabbitMQ is found by what is there, whatever its version."""

from pathlib import Path

from local_stack.rabbitmq_installation import find_installation


def unpack(root: Path, *, erlang: str | None, servers: list[str]) -> None:
    if erlang:
        runtime = root / "usr/lib/erlang" / erlang / "bin"
        runtime.mkdir(parents=True)
        (runtime / "beam.smp").touch()
    for server in servers:
        (root / "usr/lib/rabbitmq/lib" / server).mkdir(parents=True)
    (root / "usr/lib/x86_64-linux-gnu").mkdir(parents=True)


def test_the_newest_server_is_taken(tmp_path: Path) -> None:
    unpack(
        tmp_path,
        erlang="erts-13.1.5",
        servers=["rabbitmq_server-3.9.13", "rabbitmq_server-3.10.8"],
    )
    found = find_installation(tmp_path, system=tmp_path / "nothing")
    assert found is not None
    assert found.server.name == "rabbitmq_server-3.10.8"
    assert found.runtime == tmp_path / "usr/lib/erlang/erts-13.1.5/bin"
    assert [path.name for path in found.libraries] == ["x86_64-linux-gnu"]


def test_an_installed_one_comes_first_and_brings_no_libraries(tmp_path: Path) -> None:
    for place in ("system", "unpacked"):
        unpack(tmp_path / place, erlang="erts-15.2", servers=["rabbitmq_server-4.0.5"])
    found = find_installation(tmp_path / "unpacked", system=tmp_path / "system")
    assert found is not None
    assert found.server.is_relative_to(tmp_path / "system")
    assert found.libraries == ()


def test_half_of_one_is_none(tmp_path: Path) -> None:
    unpack(tmp_path, erlang=None, servers=["rabbitmq_server-4.0.5"])
    assert find_installation(tmp_path, system=tmp_path / "nothing") is None
