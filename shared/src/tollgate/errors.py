"""The roots of every refusal.

    DomainError        a rule says no; a table per service maps it to a status
    Unavailable        no answer can be given now; asking again later may help

Neither knows HTTP. Their text may reach the client, so it holds no internals and
nothing of what the client sent.
"""

from datetime import timedelta


class DomainError(Exception):
    """A command or its input is refused, and why."""


class Unavailable(Exception):
    """Something that the answer depends on cannot be had at the moment."""

    def __init__(
        self,
        reason: str = "the service cannot answer now",
        *,
        retry_after: timedelta = timedelta(seconds=1),
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
