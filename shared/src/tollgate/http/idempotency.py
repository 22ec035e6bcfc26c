"""The `Idempotency-Key` header, and what was asked with it."""

import hashlib
import re

from aiohttp import web

from tollgate.http.queries import refused

HEADER = "Idempotency-Key"

_KEY = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII).fullmatch


def read_idempotency_key(request: web.Request) -> str | None:
    """The key under which the client may repeat the request."""
    fields = request.headers.getall(HEADER, [])
    if not fields:
        return None
    if len(fields) > 1 or not _KEY(fields[0]):
        raise refused(f"{HEADER} is one word of 1 to 128 printable ASCII characters")
    return fields[0]


def digest_of(request: web.Request, body: bytes) -> str:
    """What the request asks: its method, target and body, length-prefixed."""
    digest = hashlib.sha256()
    for part in (request.method.encode(), request.raw_path.encode(), body):
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.hexdigest()
