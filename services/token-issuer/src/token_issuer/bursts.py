"""Work of one kind, done for many requests one right after another.

A signature fills the caches of a CPU with its own code and tables, and leaves them cold
for everything else. Requests come in bursts, let go together by the commit that the
ones before them waited for; what each of them needs of a kind costs half as much when
it is done in one go.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Burst:
    """For one kind of work, which neither waits nor takes long."""

    def __init__(self) -> None:
        self._asked: list[
            tuple[Callable[..., Any], tuple[Any, ...], asyncio.Future[Any]]
        ] = []

    async def run(self, work: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """What `work` returns or raises, once whoever came before has been served."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        if not self._asked:
            loop.call_soon(self._serve)
        self._asked.append((work, arguments, done))
        return await done

    def _serve(self) -> None:
        asked, self._asked = self._asked, []
        for work, arguments, done in asked:
            if done.done():
                continue  # nobody waits for it any more
            try:
                done.set_result(work(*arguments))
            except Exception as error:  # noqa: BLE001 - it is the caller's
                done.set_exception(error)
