"""The one way to ask the time of day.

What must not jump (timeouts, ages) is measured elsewhere, with monotonic clocks.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The present moment, aware and in UTC."""
        ...

    def seconds(self) -> float:
        """The same moment in seconds since the epoch, for a tenth of the cost."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def seconds(self) -> float:
        return time.time()
