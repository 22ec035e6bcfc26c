"""A line for a refusal, and not for each of a flood of them.

The counters are complete; the lines are there so that somebody who asks why gets an
answer, with the request id that the client was told.
"""

import time

import structlog

from enforcement_gateway.domain.denials import Reason

MAX_LINES = 10
"""Lines a second; what is beyond is only counted."""

logger = structlog.get_logger(__name__)


class RefusalLog:
    """Of one worker."""

    def __init__(self) -> None:
        self._second = 0
        self._lines = 0
        self._left_out = 0

    def tell(
        self, reason: Reason, status: int, request_id: bytes, address: bytes
    ) -> None:
        """Write a line, or count it where this second has had its share."""
        second = int(time.monotonic())
        if second != self._second:
            self._begin(second)
        if self._lines >= MAX_LINES:
            self._left_out += 1
            return
        self._lines += 1
        logger.info(
            "request refused",
            reason=reason.value,
            status=status,
            request_id=request_id.decode(),
            client_address=address.decode(),
        )

    def _begin(self, second: int) -> None:
        self._second, self._lines = second, 0
        if self._left_out:
            logger.info("requests refused, not told one by one", n=self._left_out)
            self._left_out = 0
