"""Why the local stack does not start, in one line that says what to do."""


class CannotStart(Exception):
    """Something that the reader can put right; its text is the whole message."""
