"""Octets put together from pieces: what goes out of each request, and of each answer.

Beside this stands the same in C, for the modules that are compiled: what Python looks
for in each piece costs more than copying it.
"""

joined = b"".join
"""Of a tuple of `bytes`."""
