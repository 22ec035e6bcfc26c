"""Who waits for a log is woken by the first word of an append, and once for each."""

import asyncio

from tollgate.messaging.notifications import REMEMBERED, Notifications


def notifications() -> Notifications:
    return Notifications("postgres://nobody@127.0.0.1:1/none", ["registry", "tokens"])


async def test_who_waits_is_woken_and_others_are_not() -> None:
    told = notifications()
    waiting = {
        log: asyncio.ensure_future(told.wait(log, after=0, at_most=60))
        for log in ("registry", "tokens")
    }
    await asyncio.sleep(0)
    told.ring("tokens", 7)
    await waiting["tokens"]
    assert not waiting["registry"].done()
    waiting["registry"].cancel()


async def test_the_second_word_of_the_same_append_is_no_news() -> None:
    told = notifications()
    told.ring("tokens", 7)
    told.ring("tokens", 7)
    assert told.heard("tokens") == 1


async def test_a_later_append_is_news_and_so_is_one_that_was_overtaken() -> None:
    told = notifications()
    for position in (7, 9, 8):
        told.ring("tokens", position)
    assert told.heard("tokens") == 3


async def test_a_log_that_was_put_back_is_news_again_after_a_while() -> None:
    told = notifications()
    for position in range(REMEMBERED + 1):
        told.ring("tokens", position)
    before = told.heard("tokens")
    told.ring("tokens", 0)
    assert told.heard("tokens") == before + 1
