"""Batches as SDKs send them, and the requests that carry them."""

import gzip
import json
import random
from collections.abc import Mapping
from uuid import UUID

TARGET = "/v1/batch"
USUAL_EVENTS = 5
USUAL_EVENT_BYTES = 290
_WORDS = ("order", "basket", "checkout", "shipping", "express", "blue", "voucher")


def batch(
    write_key: str,
    *,
    events: int = USUAL_EVENTS,
    event_bytes: int = USUAL_EVENT_BYTES,
    seed: int = 0,
) -> bytes:
    """A batch body; five events of usual size make 1.5 KB. Equal seeds, equal bytes."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    body = {
        "batch": [_event(chance, event_bytes) for _ in range(events)],
        "sentAt": "2026-01-01T12:00:00.000000+00:00",
        "writeKey": write_key,
    }
    return json.dumps(body).encode()


def post(body: bytes, token: str, headers: Mapping[str, str] | None = None) -> bytes:
    """The request as Segment's Python SDK sends it."""
    fields = {
        "Host": "tracking.example",
        "User-Agent": "analytics-python/2.4.0",
        "Accept-Encoding": "gzip, deflate",
        "Accept": "*/*",
        "Connection": "keep-alive",
        "Content-Type": "application/json",
        "Authorization": f"Bearer {token}",
        **(headers or {}),
        "Content-Length": str(len(body)),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {TARGET} HTTP/1.1\r\n{lines}\r\n".encode() + body


def post_gzip(body: bytes, token: str) -> bytes:
    """The same, compressed as the SDK does if told to."""
    packed = gzip.compress(body, mtime=0)
    return post(packed, token, {"Content-Encoding": "gzip"})


def _event(chance: random.Random, size: int) -> dict[str, object]:
    """One of about `size` bytes: its properties fill it up."""
    event: dict[str, object] = {
        "type": "track",
        "event": "Order Completed",
        "userId": f"user-{chance.randrange(10**6)}",
        "messageId": str(UUID(int=chance.getrandbits(128), version=4)),
        "timestamp": "2026-01-01T12:00:00.000000+00:00",
        "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
    }
    properties: dict[str, object] = {"total": chance.randrange(10**4) / 100}
    event["properties"] = properties
    missing = size - len(json.dumps(event))
    while missing > 0:
        name = f"{chance.choice(_WORDS)}_{len(properties)}"
        text = " ".join(chance.choices(_WORDS, k=4))[: max(missing - len(name) - 8, 1)]
        properties[name] = text
        missing -= len(name) + len(text) + 8  # with quotes, colon, comma and spaces
    return event
