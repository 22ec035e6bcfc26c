"""What each path of tollgate costs, beside what a user would pick instead.

`python -m bench` from the repository root, or `make bench`. README.md beside this file
says how each number is made and what it does not show.
"""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The repository."""

LOCAL = ROOT / ".local"
"""Everything that is made on this machine."""
