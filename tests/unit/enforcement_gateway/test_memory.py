"""Freed memory is kept, where the C library can be told so."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
from enforcement_gateway.memory import keep_freed_memory

if {kept}:
    assert keep_freed_memory()
body = b"x" * 100_000
for _ in range(3):
    b"".join([body] * 8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    parts = [bytes(bytearray(100_000)) for _ in range(8)]
    b"".join(parts)
    del parts
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*, kept: bool) -> int:
    """How often the kernel had to find a page for 50 large bodies."""
    program = PROGRAM.format(kept=kept)
    said = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True
    )
    return int(said.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc that is told")
def test_large_bodies_find_the_memory_of_those_before() -> None:
    assert faults(kept=True) * 10 < faults(kept=False)
