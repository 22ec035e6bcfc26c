"""Names that come from outside: `kid`, `jti`, `sub`, `client_id`."""

from typing import Annotated, TypeAlias

from msgspec import Meta

Identifier: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=r"\A[^\x00\ud800-\udfff]+\Z")
]
"""Fit for a database, a log or a file: no U+0000, and nothing that is not UTF-8."""
