"""The one way to ask the time of day.

What must not jump (timeouts, ages) is measured elsewhere, with monotonic clocks.
"""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The present moment, aware and in UTC."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)
