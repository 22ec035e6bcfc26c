"""What a decision comes to: events, each with the stream it happened to."""

from collections.abc import Sequence
from typing import TypeAlias

from tollgate.events import Event

Fact: TypeAlias = tuple[str, Event]
Facts: TypeAlias = Sequence[Fact]
