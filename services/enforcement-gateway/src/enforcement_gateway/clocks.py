"""The two clocks of every decision, each in seconds.

Beside this stand the same two in C, for the modules that are compiled: a call of
Python costs more than the clock.
"""

from time import time as wall

from tollgate.projections.moments import boottime

__all__ = ["boottime", "wall"]
