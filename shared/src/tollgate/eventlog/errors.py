"""Why an append was not done, or is not known to have been.

AppendRefused            the log decided; nothing was written
├── WrongExpectedVersion     a stream has moved: decide again
├── CommandRepeated          the command is in the log already
└── AlreadySpent             the assertion was used before
LogUnavailable           nothing was written; try again later
AppendOutcomeUnknown     it may have been written; the command id will tell
"""


class AppendRefused(Exception):
    """The log decided against the group; nothing of it was written."""


class WrongExpectedVersion(AppendRefused):
    """`stream` is at another version than the decision was made on."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"{stream} has moved")
        self.stream = stream


class CommandRepeated(AppendRefused):
    """The command's events are in the log, at positions `first` to `last`."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__(f"the command is in the log at {first} to {last}")
        self.first = first
        self.last = last


class AlreadySpent(AppendRefused):
    """The client assertion was used before (RFC 7523 §3, item 7)."""

    def __init__(self) -> None:
        super().__init__("the assertion was used before")


class LogUnavailable(Exception):
    """The log cannot be reached or does not answer in time; nothing was written."""


class AppendOutcomeUnknown(Exception):
    """The connection was lost before the answer: written or not, nobody knows yet."""
