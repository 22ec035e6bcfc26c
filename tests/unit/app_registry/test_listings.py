"""Pages are found, not sorted."""

import random

from app_registry.listings import Listing


def listing(*places: tuple[int, str]) -> Listing:
    made = Listing()
    for position, item_id in places:
        made.add(position, item_id)
    return made


def test_a_page_begins_after_a_place() -> None:
    made = listing((3, "c"), (5, "a"), (9, "b"))
    assert list(made.after(0)) == [(3, "c"), (5, "a"), (9, "b")]
    assert list(made.after(3)) == [(5, "a"), (9, "b")]
    assert list(made.after(4)) == [(5, "a"), (9, "b")]
    assert list(made.after(9)) == []


def test_what_is_gone_is_not_on_it() -> None:
    made = listing((3, "c"), (5, "a"), (9, "b"))
    made.remove("a")
    made.remove("a")
    made.remove("never there")
    assert list(made.after(0)) == [(3, "c"), (9, "b")]
    assert made.place_of("a") is None
    assert made.place_of("b") == (9, "b")
    assert len(made) == 2


def test_it_is_what_a_plain_list_would_be() -> None:
    chance = random.Random(7)  # noqa: S311
    made, plain = Listing(), []
    for position in range(1, 2000):
        if plain and chance.random() < 0.4:
            gone = chance.choice(plain)
            plain.remove(gone)
            made.remove(gone[1])
        else:
            plain.append((position, f"id_{position}"))
            made.add(*plain[-1])
    start = chance.randrange(2000)
    assert list(made.after(0)) == plain
    assert list(made.after(start)) == [each for each in plain if each[0] > start]


def test_a_page_of_a_hundred_thousand_is_found_by_looking_at_a_few() -> None:
    looked_at: list[int] = []

    class Position(int):
        def __lt__(self, other: int) -> bool:
            looked_at.append(self)
            return int(self) < int(other)

        def __gt__(self, other: int) -> bool:
            looked_at.append(self)
            return int(self) > int(other)

    made = listing(*((Position(n), f"id_{n}") for n in range(100_000)))
    items = made.after(50_000)
    assert [next(items)[0] for _ in range(40)] == list(range(50_001, 50_041))
    assert 0 < len(looked_at) <= 17  # the logarithm of 100,000 is 16.6
