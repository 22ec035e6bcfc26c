"""Why a number cannot be had."""


class CannotMeasure(Exception):
    """A peer that does not run, or an answer that is wrong; the text says it all."""
