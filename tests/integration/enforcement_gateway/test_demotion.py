"""Who was refused is heard after the others, until something of it is let in."""

import pytest

from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.testing.process import batch
from tollgate.testing.raw_http import RawClient
from tollgate.testing.waiting import until

BROKEN = "no.token.atall"


async def is_heard_first(gateway, world, first: RawClient) -> bool:
    """Whether `first` is, when it asks right before another client.

    Both have asked before the loop hears of either; ids are given in the order in which
    requests are heard, and grow.
    """
    second = await gateway.client()
    request = gateway.request(gateway.batch(), token=world.token())
    assert (await second.ask(request)).status == 200
    for client in (first, second):
        await client.send(request)
    answers = [await client.answer() for client in (first, second)]
    assert [each.status for each in answers] == [200, 200]
    ids = [each["X-Request-Id"] for each in answers]
    return ids == sorted(ids, key=lambda each: (len(each), each))


@pytest.fixture
def refused(gateway, world):
    """What is refused, by whose fault it is: each takes another way through us."""
    return {
        "its token": gateway.request(gateway.batch(), token=BROKEN),
        "its write key": gateway.request(gateway.batch("deleted-key")),
        "its body": gateway.request(b"{", token=world.token()),
        "its method": gateway.request(method="DELETE"),
    }


@pytest.mark.parametrize(
    "fault", ["its token", "its write key", "its body", "its method"]
)
@pytest.mark.parametrize("times", [1, 3])
async def test_whoever_was_refused_waits(gateway, world, refused, fault, times):
    world.add_source("src_other", "deleted-key", "enforce", None)
    world.delete_key("deleted-key")
    client = await gateway.client()
    for _ in range(2):
        for _ in range(times):
            assert 400 <= (await client.ask(refused[fault])).status < 500
        assert not await is_heard_first(gateway, world, client)
        # What it asked then was let in.
        assert await is_heard_first(gateway, world, client)


async def test_how_many_wait_is_counted(gateway, world, refused):
    """Each once, however often it was refused, until it leaves or is let in."""
    counters = gateway.counters
    stays, leaves, passes = [await gateway.client() for _ in range(3)]
    for client in (leaves, stays):
        for fault in ("its token", "its method", "its token"):
            assert 400 <= (await client.ask(refused[fault])).status < 500
    assert counters.demoted_connections_now == 2
    good = gateway.request(gateway.batch(), token=world.token())
    assert (await passes.ask(good)).status == 200
    for client in (leaves, passes):
        await client.close()
    await until(lambda: counters.connections_now == 1)
    assert counters.demoted_connections_now == 1
    for _ in range(2):
        assert (await stays.ask(good)).status == 200
        assert counters.demoted_connections_now == 0


async def test_so_does_one_who_is_refused_by_an_answer_that_was_ready(
    gateway, world, refused
):
    another, client = await gateway.client(), await gateway.client()
    for _ in range(2):
        assert (await another.ask(refused["its token"])).status == 401
    assert (await client.ask(refused["its token"])).status == 401
    assert not await is_heard_first(gateway, world, client)


async def test_one_who_is_read_with_others_has_its_own_body(gateway, world):
    """However long their tokens are: one is let in whose signature is found good."""
    ones = [await gateway.client() for _ in range(2)]
    bad = batch("enforced-key", BROKEN)
    for _ in range(2):
        for client in ones:
            assert (await client.ask(bad)).status == 401
    good = batch("enforced-key", world.token(jti="jti-new"))
    for client, request in zip(ones, (bad, good), strict=True):
        await client.send(request)
    assert [(await client.answer()).status for client in ones] == [401, 200]


async def test_whoever_was_never_refused_does_not(gateway, world):
    client = await gateway.client()
    request = gateway.request(gateway.batch(), token=world.token())
    assert await is_heard_first(gateway, world, client)
    for write_key, token in (("open-key", None), ("reporting-key", BROKEN)):
        passes = gateway.request(gateway.batch(write_key), token=token)
        assert (await client.ask(passes)).status == 200
        assert await is_heard_first(gateway, world, client)
    world.view.is_fresh = False
    answer = await client.ask(request)
    assert answer.status == 503
    world.view.is_fresh = True
    assert await is_heard_first(gateway, world, client)
    assert gateway.counters.denied == {Reason.VIEW_TOO_OLD: 1}


async def test_nor_does_one_whose_upstream_failed(gateway, world):
    client = await gateway.client()
    request = gateway.request(gateway.batch(), token=world.token())
    answering = gateway.upstream.answering

    async def hang_up(_, served):
        served.writer.close()

    gateway.upstream.answering = hang_up
    assert (await client.ask(request)).status == 502
    gateway.upstream.answering = answering
    assert await is_heard_first(gateway, world, client)
