"""A process that appends to a log: run by test_event_log.py, several at a time.

    append_worker.py URL NAME WRITERS ROUNDS

Each writer appends ROUNDS groups of its own, and races the writers of the same number
in the other processes for the shared stream `oauth_app-contested`. Prints a line of
JSON: what was appended where, and how many conflicts were reported.
"""

import asyncio
import json
import sys

from tollgate.database import open_pool
from tollgate.eventlog import AppendGroup, EventLog, WrongExpectedVersion
from tollgate.eventlog.log import open_event_log
from tollgate.events.registry import OAuthAppRenamed

CONTESTED = "oauth_app-contested"


async def write(
    log: EventLog, writer: str, rounds: int, own: list[list[int]], won: list[int]
) -> int:
    """Append to an own stream and to the contested one; how often the latter lost."""
    stream, lost = f"oauth_app-{writer}", 0
    for number in range(rounds):
        place = await log.append(
            AppendGroup(
                events=[
                    (stream, OAuthAppRenamed(name=f"{writer} {number} a")),
                    (stream, OAuthAppRenamed(name=f"{writer} {number} b")),
                ],
                expected={stream: 2 * number},
            )
        )
        assert place.first is not None
        assert place.last is not None
        own.append([place.first, place.last])
        version = len(await log.load(CONTESTED))
        try:
            place = await log.append(
                AppendGroup(
                    events=[(CONTESTED, OAuthAppRenamed(name=f"{writer} {number}"))],
                    expected={CONTESTED: version},
                )
            )
            assert place.first is not None
            won.append(place.first)
        except WrongExpectedVersion:
            lost += 1
    return lost


async def main(url: str, name: str, writers: int, rounds: int) -> None:
    own: list[list[int]] = []
    won: list[int] = []
    async with (
        open_pool(url, application_name=name) as pool,
        open_event_log("registry", pool, url, application_name=name) as log,
    ):
        lost = await asyncio.gather(
            *(
                write(log, f"{name}-{writer}", rounds, own, won)
                for writer in range(writers)
            )
        )
    print(json.dumps({"own": own, "won": won, "lost": sum(lost)}), flush=True)  # noqa: T201


if __name__ == "__main__":
    _, url_, name_, writers_, rounds_ = sys.argv
    asyncio.run(main(url_, name_, int(writers_), int(rounds_)))
