"""Time that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta


class FixedClock:
    """A `Clock` that says what it was last told."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, 12, tzinfo=UTC)) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def seconds(self) -> float:
        return self._now.timestamp()

    def move(self, by: timedelta) -> None:
        """Let time pass, or with a negative `by` set the clock back."""
        self._now += by

    def set(self, now: datetime) -> None:
        self._now = now
