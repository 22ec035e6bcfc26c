"""What the kernel tells of: one end of the data path, by its descriptor."""


class Watched:
    """What is told. A class to inherit from, so that C may call it as C does."""

    __slots__ = ()

    def on_ready(self, events: int) -> None:
        """`events`: bits of epoll. Must not raise."""
        raise NotImplementedError

    def flush(self) -> None:
        """Send what was written since the kernel was asked last. Must not raise."""
        raise NotImplementedError
