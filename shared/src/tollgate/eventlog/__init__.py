"""The event log on PostgreSQL: append, read, verify. See `chain` and `migrations/`."""

from tollgate.eventlog.committer import Outcome
from tollgate.eventlog.errors import (
    AlreadySpent,
    AppendOutcomeUnknown,
    AppendRefused,
    CommandRepeated,
    LogUnavailable,
    WrongExpectedVersion,
)
from tollgate.eventlog.groups import Appended, AppendGroup, Spend
from tollgate.eventlog.log import EventLog, Head, open_event_log

__all__ = [
    "AlreadySpent",
    "AppendGroup",
    "AppendOutcomeUnknown",
    "AppendRefused",
    "Appended",
    "CommandRepeated",
    "EventLog",
    "Head",
    "LogUnavailable",
    "Outcome",
    "Spend",
    "WrongExpectedVersion",
    "open_event_log",
]
