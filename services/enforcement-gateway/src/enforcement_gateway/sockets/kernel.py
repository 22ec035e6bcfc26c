"""The two system calls of every request.

Beside this stand the same two in C, for the modules that are compiled: what Python
makes of a call costs as much again as copying a small request does.
Both raise `BlockingIOError` where they would have to wait, and another `OSError` when
the connection is broken.
"""

import os

READ_SIZE = 128 * 1024
"""Octets asked for at once. Fewer say that there were no more.

A batch of 64 KB comes whole, and goes on the way of every day.
"""

receive = os.read
send = os.write
