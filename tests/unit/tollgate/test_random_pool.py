"""Random octets from a pool: as many as asked for, and none of them twice."""

import os

import pytest

from tollgate.random_pool import random_octets


def test_none_is_given_out_twice() -> None:
    names = [random_octets(20) for _ in range(10_000)]

    assert {len(name) for name in names} == {20}
    assert len(set(names)) == len(names)
    # No two overlap either: the pool was not read from the middle again.
    halves = {half for name in names for half in (name[:10], name[10:])}
    assert len(halves) == 2 * len(names)


def test_a_page_is_the_most() -> None:
    assert len(random_octets(4096)) == 4096
    with pytest.raises(ValueError, match="4096"):
        random_octets(4097)


def test_a_fork_has_others() -> None:
    random_octets(20)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, random_octets(20))
        os._exit(0)
    os.waitpid(child, 0)

    ours, theirs = random_octets(20), os.read(reading, 20)
    os.close(reading)
    os.close(writing)

    assert len(theirs) == 20
    assert ours != theirs
