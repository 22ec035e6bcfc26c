"""A line for a refusal, and not for each of a flood of them.

The counters are complete; the lines are there so that somebody who asks why gets an
answer, with the request id that the client was told.
"""

import structlog

from enforcement_gateway.domain.denials import Reason

MAX_LINES = 10
"""Lines a second; what is beyond is only counted."""

logger = structlog.get_logger(__name__)


class RefusalLog:
    """Of one worker. `renew` is called again and again, so that no clock is asked here.

    `now` is in seconds, of a clock that is not set back. `lines_left` are those that
    may still be written, `left_out` counts what was not told since.
    """

    def __init__(self) -> None:
        self._since = 0.0
        self.lines_left = MAX_LINES
        self.left_out = 0

    def tell(
        self, reason: Reason, status: int, request_id: bytes, address: bytes
    ) -> None:
        """Write a line, or count it where this second has had its share."""
        if not self.lines_left:
            self.left_out += 1
            return
        self.lines_left -= 1
        logger.info(
            "request refused",
            reason=reason.value,
            status=status,
            request_id=request_id.decode(),
            client_address=address.decode(),
        )

    def renew(self, now: float) -> None:
        """A new share of lines, if the last one was for a second that is over."""
        if now < self._since + 1:
            return
        self._since, self.lines_left = now, MAX_LINES
        if self.left_out:
            logger.info("requests refused, not told one by one", n=self.left_out)
            self.left_out = 0
