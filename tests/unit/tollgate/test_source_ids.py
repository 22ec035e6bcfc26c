"""Sets of ids that never change, however many were made of each."""

from hypothesis import given
from hypothesis import strategies as st

from tollgate.registry.source_ids import SourceIds

ids = st.sampled_from("abcde")
steps = st.lists(
    # Of which set the next is made, whether by adding, and which id.
    st.tuples(st.integers(0, 50), st.booleans(), ids),
    max_size=40,
)


@given(st.lists(ids), steps, st.lists(st.integers(0, 50), max_size=10))
def test_each_holds_for_ever_what_a_plain_set_held(
    begun: list[str], history: list[tuple[int, bool, str]], looked_into: list[int]
) -> None:
    made = [(SourceIds(begun), set(begun))]
    for of, adding, each in history:
        kept, plain = made[of % len(made)]
        if adding:
            made.append((kept.adding(each), plain | {each}))
        else:
            made.append((kept.without(each), plain - {each}))
    for which in looked_into:  # to look into one changes none, itself included
        kept, plain = made[which % len(made)]
        assert set(kept) == plain
    for kept, plain in made:
        assert kept == plain
        assert len(kept) == len(plain)
        assert all((each in kept) is (each in plain) for each in "abcde")


def test_the_newest_is_in_the_order_in_which_they_were_added() -> None:
    newest = SourceIds("ba").adding("c").without("b").adding("b").adding("a")
    assert tuple(newest) == ("a", "c", "b")


def test_what_changes_nothing_makes_no_other_set() -> None:
    some = SourceIds("ab")
    assert some.adding("a") is some
    assert some.without("c") is some


def test_a_row_of_any_length_is_read_and_let_go() -> None:
    oldest = newest = SourceIds()
    for number in range(200_000):
        newest = newest.adding(str(number))
    assert len(newest) == 200_000
    assert len(oldest) == 0
    del oldest
    held = newest
    for number in range(200_000):
        newest = newest.without(str(number))
    del held  # 200,000 sets, each the only one to know the next
    assert len(newest) == 0
