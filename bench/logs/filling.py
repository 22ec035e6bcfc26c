"""Fills a log with a history: rows by COPY, with the chain that `append` would make.

    python -m bench.logs.filling LOG COUNT URL

One commit for each event of a million would take minutes; here it takes seconds, and
`EventLog.verify` finds nothing wrong.
"""

import asyncio
import hashlib
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from bench.logs.histories import Fact, moment_of, registry_facts, revocation_facts
from tollgate.database import Connection, connect
from tollgate.eventlog.chain import EPOCH, MICROSECOND, event_digest, genesis
from tollgate.events import EventMetadata, encode
from tollgate.events.recorded import tag_of

BLOCK = 10_000  # made in a second or two: a transaction may rest for five
_PLACE = struct.Struct(">qiq")
_COLUMNS = (
    "position",
    "stream",
    "version",
    "type",
    "data",
    "metadata",
    "recorded_at",
    "hash",
)


HISTORIES: Mapping[str, Callable[[], Iterator[Fact]]] = {
    "registry": registry_facts,
    "tokens": revocation_facts,
}


async def fill(connection: Connection, log: str, count: int) -> None:
    """Put `count` events of its history into the empty log in the schema `log`."""
    rows = _rows(log, islice(HISTORIES[log](), count))
    last: tuple[object, ...] = ()
    await connection.execute("SET statement_timeout = 0")  # for the index, the vacuum
    async with connection.transaction():
        # Sorted once at the end, an index takes less than row by row.
        await connection.execute(
            f"ALTER TABLE {log}.events DROP CONSTRAINT events_stream_version"
        )
        while block := list(islice(rows, BLOCK)):
            await connection.copy_records_to_table(
                "events", schema_name=log, columns=_COLUMNS, records=block, timeout=60
            )
            last = block[-1]
        await connection.execute(
            f"ALTER TABLE {log}.events ADD CONSTRAINT events_stream_version"
            " UNIQUE (stream, version)",
            timeout=60,
        )
        await connection.execute(
            f"UPDATE {log}.head SET position = $1, recorded_at = $2, hash = $3",  # noqa: S608
            last[0],
            last[6],
            last[7],
        )
    await connection.execute(f"VACUUM ANALYZE {log}.events", timeout=60)


def _rows(log: str, facts: Iterator[Fact]) -> Iterator[tuple[object, ...]]:
    metadata = encode(EventMetadata(actor="member-mem_0123456789012345678901"))
    metadata_digest = hashlib.sha256(metadata).digest()
    metadata_text = metadata.decode()
    versions: dict[str, int] = {}
    last = genesis(log)
    for position, (stream, event) in enumerate(facts, start=1):
        version = versions[stream] = versions.get(stream, 0) + 1
        kind, data = tag_of(type(event)), encode(event)
        digest = event_digest(
            stream, kind, hashlib.sha256(data).digest(), metadata_digest
        )
        at = moment_of(position)
        micros = (at - EPOCH) // MICROSECOND
        last = hashlib.sha256(
            last + _PLACE.pack(position, version, micros) + digest
        ).digest()
        yield position, stream, version, kind, data.decode(), metadata_text, at, last


async def _main(log: str, count: int, url: str) -> None:
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    connection = await connect(url, application_name="bench")
    try:
        await fill(connection, log, count)
    finally:
        await connection.close()
    print(count, flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
