"""Writes docs/events.md from the events themselves (`make docs`)."""

import inspect
from typing import get_type_hints

from tollgate.events.issuance import ISSUANCE_EVENTS
from tollgate.events.recorded import Event, tag_of
from tollgate.events.registry import REGISTRY_EVENTS, WITHHELD_CATEGORIES
from tollgate.events.tokens import TOKENS_EVENTS

INTRODUCTION = """\
# Events

Every decision is an event, kept for ever and published as it was written.
This page is written from the code by `make docs`, and a test keeps it true.

An event is never renamed and never given a new meaning; a field may be added with a
default, so ignore fields that you do not know.
`must_understand` is in every event: a reader that meets an unknown type with it stops
there; without it, it goes on.
The events of {withheld} streams, and all metadata, are withheld from the broker and
from gateways: they get the SHA-256 digests instead.

| column | meaning |
|---|---|
| `position` | place in the log: 1, 2, 3 … without gaps, in commit order |
| `stream`, `version` | the thing it happened to, and its place there, from 1 |
| `type` | the permanent tag, as in the headings below |
| `recorded_at` | UTC, never earlier than the event before |
| `hash` | SHA-256 over the hash before and this event (`tollgate.eventlog.chain`) |
| `data` | the fields below, and `type` |
| `metadata` | `actor`, `request_id`, `client_address`, `command_id`, `command_digest` |
"""

LOGS: dict[str, tuple[str, tuple[type[Event], ...]]] = {
    "registry": (
        "Owned by the app-registry, published: who the apps are and what they may do.",
        REGISTRY_EVENTS,
    ),
    "tokens": (
        "Owned by the token-issuer, published: what ends tokens, and the signing keys.",
        TOKENS_EVENTS,
    ),
    "issuance": (
        "Owned by the token-issuer, kept by month, not published: every token minted.",
        ISSUANCE_EVENTS,
    ),
}


def events_page() -> str:
    """The text of docs/events.md."""
    withheld = " and ".join(f"`{name}-…`" for name in sorted(WITHHELD_CATEGORIES))
    parts = [INTRODUCTION.format(withheld=withheld)]
    for log, (about, events) in LOGS.items():
        parts.append(f"## The {log} log\n\n{about}\n")
        parts.extend(_section(event) for event in events)
    return "\n".join(parts)


def _section(event: type[Event]) -> str:
    lines = [f"### `{tag_of(event)}`", ""]
    if "__doc__" in vars(event) and event.__doc__:
        lines += [inspect.cleandoc(event.__doc__), ""]
    hints = get_type_hints(event)
    own = [name for name in event.__struct_fields__ if name != "must_understand"]
    if own:
        lines += ["| field | type |", "|---|---|"]
        lines += [f"| `{name}` | {_type_name(hints[name])} |" for name in own]
        lines.append("")
    return "\n".join(lines)


def _type_name(hint: object) -> str:
    text = hint.__name__ if isinstance(hint, type) else str(hint)
    if str(hint).startswith("tuple["):
        text = str(hint)
    for module in ("tollgate.events.registry.", "datetime."):
        text = text.replace(module, "")
    return "`" + text.replace(" | None", "` or `null").replace(", ...", "") + "`"
