"""What a service began with is not looked through for garbage again."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from tollgate.garbage import THRESHOLD, not_collecting, settle


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


class Knot:
    """A cycle of references to itself."""

    def __init__(self) -> None:
        self.self = self


def test_garbage_from_before_is_gone() -> None:
    of_knot = weakref.ref(Knot())
    settle()
    assert of_knot() is None


def test_what_stays_is_not_looked_through() -> None:
    kept = [Knot()]
    settle()
    assert not any(each is kept for each in gc.get_objects())


def test_what_comes_later_is_still_collected() -> None:
    settle()
    of_knot = weakref.ref(Knot())
    more = [[] for _ in range(2 * THRESHOLD)]
    assert of_knot() is None, f"while {len(more)} other objects were made"


def test_it_is_looked_for_again_after_a_pause_that_failed() -> None:
    def fail() -> None:
        with not_collecting():
            assert not gc.isenabled()
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert gc.isenabled()


def test_who_does_not_look_for_it_does_not_begin_to() -> None:
    with not_collecting():
        with not_collecting():
            pass
        assert not gc.isenabled()
