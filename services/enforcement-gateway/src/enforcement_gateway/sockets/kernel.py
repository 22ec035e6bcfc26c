"""The two system calls of every request.

Beside this stand the same two in C, for the modules that are compiled: what Python
makes of a call costs as much again as copying a small request does.
"""

import os

READ_SIZE = 64 * 1024
"""Octets asked for at once. Fewer say that there were no more."""


def receive(descriptor: int) -> bytes | None:
    """What has come, up to `READ_SIZE`; empty at the end, None if nothing came yet.

    Raises `OSError` when the connection is broken.
    """
    try:
        return os.read(descriptor, READ_SIZE)
    except BlockingIOError:
        return None


def send(descriptor: int, data: bytes, start: int) -> int:
    """How many octets of `data`, from `start` on, the kernel took.

    Raises `OSError` when the connection is broken.
    """
    try:
        return os.write(descriptor, memoryview(data)[start:] if start else data)
    except BlockingIOError:
        return 0
