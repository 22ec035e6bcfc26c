"""Which client library sent a body.

Asked only about a stale token: the Node.js SDK does not tell its version in a header,
but every event of its own says it (WIRE 4.1).
"""

import re

import msgspec
from msgspec import UNSET, UnsetType

NODE_LIBRARY = "@segment/analytics-node"
NODE_RESENDS_SINCE = (3, 1, 0)
PYTHON_RESENDS_SINCE = (2, 4, 0)

_PYTHON = re.compile(rb"analytics-python/([0-9]{1,4}(?:\.[0-9]{1,4}){1,3})\b").match
_VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,4}))?(?![0-9.])").match


class _Library(msgspec.Struct):
    name: str | UnsetType = UNSET
    version: str | UnsetType = UNSET


class _Context(msgspec.Struct):
    library: _Library | UnsetType = UNSET


class _Event(msgspec.Struct):
    context: _Context | UnsetType = UNSET


class _Body(_Event):
    batch: list[_Event] | UnsetType = UNSET


_decode = msgspec.json.Decoder(_Body).decode


def names_its_version(user_agent: bytes) -> bool:
    """Whether the answer to the next question does not hang on the body."""
    return _PYTHON(user_agent) is not None


def resends_with_a_new_token(user_agent: bytes, body: bytes | None) -> bool:
    """Whether the client fetches a new token on 511 and sends the same batch again.

    Clients that do not are better served with 401 (WIRE 4.2). `body` is the inflated
    JSON, or None where it was not read.
    """
    python = _PYTHON(user_agent)
    if python is not None:
        return _version(python[1].decode()) >= PYTHON_RESENDS_SINCE
    if body is None:
        return False
    return _node_version(body) >= NODE_RESENDS_SINCE


def _node_version(body: bytes) -> tuple[int, ...]:
    try:
        read = _decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return ()
    events: list[_Event] = [read]
    if read.batch is not UNSET:
        events += read.batch[:1]
    for event in events:
        if event.context is UNSET or event.context.library is UNSET:
            continue
        library = event.context.library
        if library.name == NODE_LIBRARY and library.version is not UNSET:
            return _version(library.version)
    return ()


def _version(text: str) -> tuple[int, ...]:
    """The numbers of a version; a pre-release counts as what it precedes."""
    match = _VERSION(text)
    if match is None:
        return ()
    return tuple(int(number or 0) for number in match.groups())
