"""What the kernel tells of: one end of the data path, by its descriptor."""

from collections.abc import Callable


class Watched:
    """What is told. A class to inherit from, so that C may call it as C does.

    `receive` is told what came, and may raise, while that is all there is to do when
    something has come; else it is None. So whoever hears of it may read as well.
    """

    __slots__ = ("receive",)

    receive: Callable[[bytes], None] | None

    def __init__(self) -> None:
        self.receive = None

    def on_ready(self, events: int) -> None:
        """`events`: bits of epoll. Must not raise."""
        raise NotImplementedError

    def go_on(self, read: bytes | OSError) -> None:
        """As `on_ready`, of which that came first. Must not raise."""
        raise NotImplementedError

    def fail(self, error: Exception) -> None:
        """End it: `receive` has raised that. Must not raise."""
        raise NotImplementedError

    def flush(self) -> None:
        """Send what was written since the kernel was asked last. Must not raise."""
        raise NotImplementedError
