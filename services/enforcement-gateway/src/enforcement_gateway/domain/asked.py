"""What write keys led to that decisions were about lately (ADR 40).

A table of a worker's own: small, where all that a view holds fits in no cache. What it
says of a key is right for as long as the `Lead` holds.

Beside this stands the same in C, for the modules that are compiled: where a `dict`
looks into five places of memory to find a text, and waits for most of them, that looks
into one.
"""

from tollgate.registry.state import Lead

MAX_ASKED = 100_000
"""Write keys of a table, which begins anew when it is full: some 15 MB."""


def begun() -> dict[str, Lead]:
    """A table of nothing."""
    return {}


found = dict[str, Lead].get
"""What `keep` was told of a key last; None if that is not known any more."""


def keep(asked: dict[str, Lead], write_key: str, lead: Lead) -> None:
    if len(asked) >= MAX_ASKED:
        asked.clear()
    asked[write_key] = lead
