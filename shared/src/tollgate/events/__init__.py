"""The published language: every event of every log, defined once.

Events are stored forever and read by services of other versions. Never rename one,
never give one a new meaning; a field may be added with a default. A field's JSON is
what `encode` writes, byte for byte, and enters the hash chain as such.
"""

from tollgate.events.recorded import (
    Event,
    EventMetadata,
    RecordedEvent,
    UnreadableEvent,
    encode,
)

__all__ = ["Event", "EventMetadata", "RecordedEvent", "UnreadableEvent", "encode"]
