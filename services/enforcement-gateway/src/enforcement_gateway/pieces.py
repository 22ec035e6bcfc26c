"""Octets put together from pieces, and held against them: heads that come and go.

Beside this stands the same in C, for the modules that are compiled: what Python looks
for in each piece costs more than copying it.
"""

joined = b"".join
"""Of a tuple of `bytes`."""

begins = bytes.startswith
"""Of octets, a piece, and where: whether the piece stands there."""
