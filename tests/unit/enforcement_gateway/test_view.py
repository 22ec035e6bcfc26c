"""What the gate reads is what the subscriptions hold, and as old as the older one."""

from types import SimpleNamespace

import pytest

from enforcement_gateway.view import SubscribedView
from tollgate.messaging.subscription import NEVER_POLLED
from tollgate.projections.moments import Moment


def log(boottime: float, wall: float) -> SimpleNamespace:
    """A subscription, as far as the view looks at it."""
    return SimpleNamespace(
        state=object(), fresh_until=Moment(boottime, wall), generation=0
    )


class TestFresh:
    @pytest.mark.parametrize(
        ("boottime", "wall", "is_fresh"),
        [
            (10.0, 1000.0, True),
            (10.1, 1000.0, False),
            (10.0, 1000.1, False),
            (9.0, 999.0, True),
        ],
    )
    def test_by_both_clocks_of_both_logs(self, boottime, wall, is_fresh) -> None:
        for view in (
            SubscribedView(log(10.0, 1000.0), log(20.0, 2000.0)),
            SubscribedView(log(20.0, 2000.0), log(10.0, 1000.0)),
            SubscribedView(log(10.0, 2000.0), log(20.0, 1000.0)),
        ):
            assert view.fresh_at(boottime, wall) is is_fresh

    def test_never_without_a_poll_of_each(self) -> None:
        tokens = log(10.0, 1000.0)
        view = SubscribedView(log(10.0, 1000.0), tokens)
        assert view.fresh_at(1.0, 1.0)
        tokens.fresh_until = NEVER_POLLED
        assert not view.fresh_at(1.0, 1.0)

    @pytest.mark.parametrize("which", [0, 1])
    def test_follows_each_poll(self, which) -> None:
        logs = log(10.0, 1000.0), log(10.0, 1000.0)
        view = SubscribedView(*logs)
        logs[1 - which].fresh_until = Moment(20.0, 2000.0)
        assert not view.fresh_at(15.0, 1500.0)
        logs[which].fresh_until = Moment(20.0, 2000.0)
        assert view.fresh_at(15.0, 1500.0)


def test_a_look_finds_what_was_rebuilt() -> None:
    logs = log(10.0, 1000.0), log(10.0, 1000.0)
    view = SubscribedView(*logs)
    before = view.registry, view.tokens
    for each in logs:
        each.state = object()
    assert (view.registry, view.tokens) == before
    view.look()
    assert (view.registry, view.tokens) == (logs[0].state, logs[1].state)
