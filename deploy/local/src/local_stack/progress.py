"""What `make run` shows: a line for each thing that happened, and when."""

import time
from contextlib import suppress


class Progress:
    """Prints; a terminal that went away does not matter to the stack."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def tell(self, who: str, what: str) -> None:
        elapsed = time.monotonic() - self._began
        self.print(f"{elapsed:6.1f} s  {who:<20} {what}")

    def print(self, text: str) -> None:
        with suppress(OSError):
            print(text, flush=True)
