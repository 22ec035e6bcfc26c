"""What the parent hears of a worker that does not always answer in time."""

import asyncio
import socket

from enforcement_gateway import parent
from enforcement_gateway.counters import Tally
from enforcement_gateway.parent import Worker
from enforcement_gateway.reports import Report, encode_report
from tollgate.projections.view import ViewStatus

VIEW = ViewStatus(ready=True, fresh=True, age=0.0, logs=[])


def answer_to(asked, requests):
    return encode_report(
        Report(
            asked=int(asked),
            compiled=False,
            pid=1,
            listening=True,
            tally=Tally(requests=requests),
            view=VIEW,
            samples=[],
        )
    )


async def test_a_worker_that_was_late_is_told_of_as_it_is_now(monkeypatch):
    """It starts, or was frozen: it then answers all that it was asked meanwhile."""
    monkeypatch.setattr(parent, "REPORT_TIMEOUT", 0.05)
    ours, theirs = socket.socketpair()
    asked, answers = await asyncio.open_connection(sock=theirs)
    worker = Worker(None, *await asyncio.open_connection(sock=ours))
    for _ in range(3):
        assert await worker.ask() is None
    monkeypatch.setattr(parent, "REPORT_TIMEOUT", 10.0)

    for requests in range(1, 4):
        answers.write(answer_to(await asked.readline(), requests))
    for requests in range(4, 7):
        now = asyncio.create_task(worker.ask())
        answers.write(answer_to(await asked.readline(), requests))
        assert (await now).tally.requests == requests

    answers.close()
    assert await worker.ask() is None, "it is gone"
    worker.writer.close()


async def test_one_that_ends_while_two_wait_for_it_fails_neither():
    """The status port asks beside the parent's own round; its socket is then closed."""
    ours, theirs = socket.socketpair()
    asked, answers = await asyncio.open_connection(sock=theirs)
    worker = Worker(None, *await asyncio.open_connection(sock=ours))
    first, second = (asyncio.create_task(worker.ask()) for _ in range(2))
    await asked.readline()

    answers.close()
    worker.writer.close()

    assert await asyncio.gather(first, second) == [None, None]
    assert await worker.ask() is None
