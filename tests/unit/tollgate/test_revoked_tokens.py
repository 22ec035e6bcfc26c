"""Compact revocations answer as a plain set of them would, whatever the log says."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tollgate.events.tokens import TokenRevoked
from tollgate.tokens.revoked import FORGET_AFTER, PERIOD, RevokedTokens, name_of

START = datetime(2026, 1, 1, tzinfo=UTC)

clients = st.sampled_from(["app_1", "app_2"])
jtis = st.sampled_from(["a", "b", "c"])
moments = st.one_of(
    st.integers(0, 3_000_000).map(
        lambda milliseconds: START + timedelta(milliseconds=milliseconds)
    ),
    st.integers(0, 10).map(lambda periods: START + timedelta(seconds=periods * PERIOD)),
)
additions = st.lists(st.tuples(moments, clients, jtis, moments), max_size=20)
sizes = st.lists(st.integers(1, 8), min_size=1, max_size=8)


class Plain:
    """Each token with the latest end of a period in which it may still be shown."""

    def __init__(self) -> None:
        self.kept_until: dict[tuple[str, str], datetime] = {}

    def add(self, client_id: str, jti: str, expires_at: datetime) -> None:
        into_the_period = (expires_at - START) % timedelta(seconds=PERIOD)
        whole = expires_at - into_the_period
        if into_the_period:
            whole += timedelta(seconds=PERIOD)
        token = (client_id, jti)
        self.kept_until[token] = max(whole, self.kept_until.get(token, whole))

    def forget(self, now: float) -> None:
        self.kept_until = {
            token: until
            for token, until in self.kept_until.items()
            if (until + FORGET_AFTER).timestamp() >= now
        }

    def held(self) -> set[tuple[str, str]]:
        return set(self.kept_until)


def add_to(revoked: RevokedTokens, *tokens: tuple[str, str, datetime]) -> None:
    revoked.add(
        (client_id, TokenRevoked(jti=jti, expires_at=expires_at))
        for client_id, jti, expires_at in tokens
    )


def held(revoked: RevokedTokens) -> set[tuple[str, str]]:
    return {
        (client_id, jti)
        for client_id in ("app_1", "app_2")
        for jti in ("a", "b", "c")
        if revoked.holds(client_id, jti)
    }


@given(additions)
def test_it_holds_what_a_plain_set_holds(
    history: list[tuple[datetime, str, str, datetime]],
) -> None:
    compact, plain = RevokedTokens(), Plain()
    for now, client_id, jti, expires_at in sorted(history):
        add_to(compact, (client_id, jti, expires_at))
        plain.add(client_id, jti, expires_at)
        for each in (compact, plain):
            each.forget(now.timestamp())
        assert held(compact) == plain.held()


@given(additions, sizes, st.integers(0, 4))
def test_who_was_looked_for_is_revoked_later_only_among_the_latest(
    history: list[tuple[datetime, str, str, datetime]],
    sizes: list[int],
    max_latest: int,
) -> None:
    revoked = RevokedTokens(max_latest)
    looked_for: dict[tuple[str, str], set[str]] = {}
    left, number = history, 0
    while left:
        size = sizes[number % len(sizes)]
        block, left, number = left[:size], left[size:], number + 1
        add_to(revoked, *(token for _, *token in block))
        for token, since in looked_for.items():
            if since is revoked.latest:
                assert (name_of(*token) in since) is revoked.holds(*token)
        assert len(revoked.latest) <= max_latest
        for token in {("app_1", "a"), ("app_1", "b"), ("app_2", "c")} - held(revoked):
            looked_for[token] = revoked.latest


@given(additions, sizes, moments)
def test_many_at_once_are_held_and_forgotten_as_one_by_one(
    history: list[tuple[datetime, str, str, datetime]],
    sizes: list[int],
    later: datetime,
) -> None:
    """And whatever is due at the end of a block need not be forgotten before."""
    in_blocks, single = RevokedTokens(), RevokedTokens()
    left, number = sorted(history), 0
    while left:
        size = sizes[number % len(sizes)]
        block, left, number = left[:size], left[size:], number + 1
        add_to(in_blocks, *(token for _, *token in block))
        for now, *token in block:
            add_to(single, token)
            single.forget(now.timestamp())
        in_blocks.forget(now.timestamp())
        assert list(in_blocks.entries()) == list(single.entries())
        assert held(in_blocks) == held(single)
    for each in (in_blocks, single):
        each.forget(later.timestamp())
    assert held(in_blocks) == held(single)
    assert list(in_blocks.entries()) == list(single.entries())


@given(additions, moments)
def test_what_has_expired_by_a_time_that_is_told_first_is_not_kept(
    history: list[tuple[datetime, str, str, datetime]], later: datetime
) -> None:
    told_first, told_last = RevokedTokens(), RevokedTokens()
    tokens = [token for _, *token in sorted(history)]
    told_first.forget(later.timestamp())
    add_to(told_first, *tokens)
    add_to(told_last, *tokens)
    told_last.forget(later.timestamp())
    assert held(told_first) == held(told_last)
    assert list(told_first.entries()) == list(told_last.entries())


@given(additions, moments)
def test_what_is_restored_holds_and_forgets_the_same(
    history: list[tuple[datetime, str, str, datetime]], later: datetime
) -> None:
    compact, restored = RevokedTokens(), RevokedTokens()
    for now, client_id, jti, expires_at in sorted(history):
        add_to(compact, (client_id, jti, expires_at))
        compact.forget(now.timestamp())
    for entry in compact.entries():
        restored.restore(entry)
    assert held(restored) == held(compact)
    assert len(restored) == len(compact)
    for each in (compact, restored):
        each.forget(later.timestamp())
    assert held(restored) == held(compact)


@given(st.lists(st.tuples(clients, jtis, moments), max_size=20))
def test_nothing_is_kept_for_ever(
    history: list[tuple[str, str, datetime]],
) -> None:
    revoked = RevokedTokens()
    for token in history:
        add_to(revoked, token)
    revoked.forget((START + timedelta(days=1)).timestamp())
    assert len(revoked) == 0
    assert list(revoked.entries()) == []
