"""A row says by itself what its numbers mean."""

import pytest

from bench.measuring.figures import (
    Figure,
    Row,
    Target,
    Verdict,
    broken,
    not_here,
    ours_at_least,
    ours_at_most,
    ratio_at_least,
    ratio_at_most,
)


def row(ours: list[float], theirs: list[float], target: Target | None = None) -> Row:
    return Row(
        what="something",
        unit="req/s",
        ours=Figure.of(ours),
        peer="nginx",
        theirs=Figure.of(theirs),
        target=target,
    )


def test_a_figure_is_the_median_of_its_rounds() -> None:
    figure = Figure.of([30.0, 10.0, 11.0])

    assert (figure.median, figure.low, figure.high) == (11.0, 10.0, 30.0)


def test_a_figure_without_rounds_is_none() -> None:
    with pytest.raises(ValueError, match="at least one round"):
        Figure.of([])


def test_the_ratio_is_that_of_the_medians_and_its_spread_that_of_the_pairs() -> None:
    measured = row([10.0, 30.0, 20.0], [10.0, 10.0, 40.0])

    assert measured.ratio == 2.0
    assert measured.ratios == (1.0, 3.0, 0.5)


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        (None, Verdict.STATED),
        (ratio_at_least(2.0), Verdict.PASS),
        (ratio_at_least(2.1), Verdict.FAIL),
        (ratio_at_most(2.0), Verdict.PASS),
        (ratio_at_most(1.9), Verdict.FAIL),
        (ours_at_least(20.0), Verdict.PASS),
        (ours_at_least(21.0), Verdict.FAIL),
        (ours_at_most(20.0), Verdict.PASS),
        (ours_at_most(19.0), Verdict.FAIL),
    ],
)
def test_a_verdict_is_about_the_ratio_or_about_our_number(
    target: Target | None, verdict: Verdict
) -> None:
    assert row([20.0], [10.0], target).verdict is verdict


def test_a_target_without_a_number_is_no_pass() -> None:
    without_a_peer = Row(what="x", ours=Figure.of([1.0]), target=ratio_at_most(9.0))

    assert without_a_peer.verdict is Verdict.BROKEN


def test_a_peer_that_did_nothing_gives_no_ratio() -> None:
    measured = row([20.0], [0.0], ratio_at_least(1.0))

    assert measured.ratio is None
    assert measured.ratios == ()
    assert measured.verdict is Verdict.BROKEN


def test_what_could_not_be_measured_is_broken_and_what_cannot_be_here_is_not() -> None:
    assert broken("x", "no nginx").verdict is Verdict.BROKEN
    assert not_here("x", "needs four cores").verdict is Verdict.NOT_HERE


def test_a_margin_above_one_is_a_target_met_whichever_way_it_points() -> None:
    assert ratio_at_least(2.0).margin(3.0) == 1.5
    assert ratio_at_most(3.0).margin(2.0) == 1.5
    assert ratio_at_most(3.0).margin(6.0) == 0.5
