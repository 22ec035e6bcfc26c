"""How events leave their log: relay and broker push them, the feed lets them be read.

The broker makes it fast, the poll makes it certain. See `subscription` for the reader's
side, `relay` and `feed` for the owner's.
"""
