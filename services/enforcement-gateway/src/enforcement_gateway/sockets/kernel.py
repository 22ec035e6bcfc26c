"""The three system calls of every request.

Beside this stand the same three in C, for the modules that are compiled: what Python
makes of a call costs as much again as copying a small request does.
The first two raise `BlockingIOError` where they would have to wait, and all of them
another `OSError` when something is broken.
"""

import os
import select
from collections import deque
from itertools import repeat

READ_SIZE = 128 * 1024
"""Octets asked for at once. Fewer say that there were no more.

A batch of 64 KB comes whole, and goes on the way of every day.
"""

receive = os.read
send = os.write


def readable_among(descriptors: list[int]) -> list[int]:
    """Those on which octets have come, or an end, or that are broken."""
    poll = select.poll()
    deque(map(poll.register, descriptors, repeat(select.POLLIN)), maxlen=0)
    return [descriptor for descriptor, _ in poll.poll(0)]
