"""Counts of several workers add up, also of those that are gone."""

from enforcement_gateway.counters import MAX_SAMPLES, Counters, Tally, WouldBeDenial
from enforcement_gateway.domain.denials import Reason


def counted(requests, now, *reasons):
    counters = Counters()
    counters.requests = requests
    counters.connections_now = now
    for reason in reasons:
        counters.count_denied(reason)
    return counters.tally()


def would_be_denial(at):
    return WouldBeDenial(
        at=float(at),
        request_id=str(at),
        source_id="src",
        reason=Reason.TOKEN_MISSING,
        client_id=None,
        user_agent="",
    )


def test_workers_add_up():
    total = Tally()
    total.add(counted(3, 2, Reason.TOKEN_MISSING, Reason.NOT_FOUND))
    total.add(counted(4, 5, Reason.TOKEN_MISSING))
    assert (total.requests, total.connections_now) == (7, 7)
    assert total.denied == {Reason.TOKEN_MISSING: 2, Reason.NOT_FOUND: 1}


def test_one_that_is_gone_holds_nothing_any_more():
    total = Tally()
    total.add(counted(3, 2, Reason.TOKEN_MISSING), gone=True)
    assert (total.requests, total.connections_now) == (3, 0)
    assert total.denied == {Reason.TOKEN_MISSING: 1}


def test_two_tallies_share_nothing():
    counted(1, 1, Reason.TOKEN_MISSING)
    assert Counters().denied == {}


def test_let_in_is_whatever_is_passed_on():
    counters = Counters()
    counters.requests, counters.admitted, counters.open = 100, 1, 20
    counters.count_denied(Reason.TOKEN_MISSING)
    for _ in range(3):
        counters.count_reported(would_be_denial(1))
    assert counters.let_in == 24


def test_answers_are_counted_by_class():
    counters = Counters()
    for status in (200, 204, 429, 503):
        counters.count_answered(status)
    assert counters.answered == {2: 2, 4: 1, 5: 1}


def test_samples_are_the_latest_ones():
    counters = Counters()
    for at in range(MAX_SAMPLES + 10):
        counters.count_reported(would_be_denial(at))
    assert counters.reported == {Reason.TOKEN_MISSING: MAX_SAMPLES + 10}
    assert counters.samples[0].at == 10.0
    assert len(counters.samples) == MAX_SAMPLES
