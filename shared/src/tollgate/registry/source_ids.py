"""The sources of an app: a set that never changes, of which a next one costs a step.

An app may be connected to a hundred thousand sources, one event after another. To copy
them at each would take longer the more there are, so the newest set takes the items of
the one before, which from then on only knows how it differs (Henry Baker's shallow
binding). Who still holds an older one, and looks into it, pays for a copy then.
"""

# ruff: noqa: SLF001 - sets of one row look into each other
from collections.abc import Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet


class SourceIds(AbstractSet[str]):
    """Ids of sources in the order in which they were added, each once.

    An older set holds the same ids as ever, but in no certain order.
    """

    # A class of plain Python, unlike the entities: a long row of sets that lead to each
    # other must not be taken down by recursion.
    __slots__ = ("_items", "_newer", "_undo")

    _items: Collection[str] | None
    _newer: "SourceIds"
    """Without items: the set that was made of this one."""
    _undo: tuple[str, bool]
    """Without items: the id by which that differs, and whether it was added."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        # Most are read from a snapshot and never change: a tuple is the smallest.
        self._items = tuple(dict.fromkeys(ids))

    def __contains__(self, source_id: object) -> bool:
        return source_id in self._held()

    def __iter__(self) -> Iterator[str]:
        return iter(self._held())

    def __len__(self) -> int:
        return len(self._held())

    def __repr__(self) -> str:
        return f"SourceIds({tuple(self)})"

    def adding(self, source_id: str) -> "SourceIds":
        """This set, or one with `source_id` at its end if it is not in it."""
        items = self._items
        if type(items) is not dict:
            items = self._to_change()
        if source_id in items:
            return self
        items[source_id] = None
        # As `_changed_to`, without the call: an app has this once for each source.
        newer = _new(SourceIds)
        newer._items = items
        self._items = None
        self._newer = newer
        self._undo = (source_id, True)
        return newer

    def without(self, source_id: str) -> "SourceIds":
        """This set, or one that lacks `source_id` if it is in it."""
        items = self._to_change()
        if source_id not in items:
            return self
        del items[source_id]
        return self._changed_to(items, (source_id, False))

    def _changed_to(
        self, items: dict[str, None], undo: tuple[str, bool]
    ) -> "SourceIds":
        """The set that holds `items` from now on; this one knows it by what to undo."""
        newer = _new(SourceIds)
        newer._items = items
        self._items = None
        self._newer = newer
        self._undo = undo
        return newer

    def _held(self) -> Collection[str]:
        return self._to_change() if self._items is None else self._items

    def _to_change(self) -> dict[str, None]:
        """The items, for this set and at most one that follows it."""
        items = self._items
        if type(items) is dict:
            return items
        own = self._items = self._as_it_was() if items is None else dict.fromkeys(items)
        return own

    def _as_it_was(self) -> dict[str, None]:
        """A copy of the nearest newer set that has items, with what was done undone."""
        undoing = []
        nearest = self
        while nearest._items is None:
            undoing.append(nearest._undo)
            nearest = nearest._newer
        items = dict.fromkeys(nearest._items)
        for changed, added in reversed(undoing):
            if added:
                del items[changed]
            else:
                items[changed] = None
        del self._newer, self._undo
        return items


_new = object.__new__
"""Half the time of a call of the class, at each event of a log that is folded."""
