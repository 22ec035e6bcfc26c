"""Elapsed time is what the clock that says more says."""

from itertools import pairwise

import pytest

from tollgate.projections.moments import Moment, read_boot_id


@pytest.mark.parametrize(
    ("later", "elapsed"),
    [
        (Moment(110.0, 1010.0), 10.0),
        (Moment(110.0, 400.0), 10.0),  # the wall clock was set back
        (Moment(110.0, 4600.0), 3600.0),  # or forward
        (Moment(100.0, 1000.0), 0.0),
    ],
)
def test_the_larger_difference_counts(later: Moment, elapsed: float) -> None:
    assert Moment(100.0, 1000.0).until(later) == elapsed


def test_now_never_goes_back() -> None:
    moments = [Moment.now() for _ in range(100)]
    assert all(a.until(b) >= 0 for a, b in pairwise(moments))


def test_a_boot_has_one_name() -> None:
    assert read_boot_id() == read_boot_id()
