"""What the connections of a worker share."""

import re
from itertools import islice

from enforcement_gateway.counters import Counters
from enforcement_gateway.gate import Gate
from enforcement_gateway.http.server import Limits, Server
from enforcement_gateway.verification import Verifier
from enforcement_gateway.view import View
from tollgate.oauth.scopes import DEFAULT_AUDIENCES

AN_ID = re.compile(rb"[0-9a-f]{16}-[0-9a-f]+").fullmatch


def new_server() -> Server:
    counters = Counters()
    gate = Gate(View(), Verifier("https://a"), counters, audiences=DEFAULT_AUDIENCES)
    return Server(gate, counters, {}, limits=Limits())


def test_requests_are_counted_behind_what_no_other_server_has() -> None:
    servers = new_server(), new_server()
    named = [list(islice(server.request_ids, 5000)) for server in servers]
    prefixes = set()
    for ids in named:
        assert all(map(AN_ID, ids))
        prefixes |= {each.partition(b"-")[0] for each in ids}
        numbers = [int(each.partition(b"-")[2], 16) for each in ids]
        assert numbers == list(range(1, len(ids) + 1))
    assert len(prefixes) == len(servers)
