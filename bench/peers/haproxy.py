"""HAProxy checking bearers by itself: one thread, connections kept alive."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.measuring.context import Bench
from bench.peers.debian import installed
from local_stack.ports import free_ports
from tollgate.oauth.public_keys import PublicKey

_CONFIGURATION = Path(__file__).with_name("haproxy.cfg")


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """Whose tokens it lets through, and what they must say."""

    issuer: str
    audience: str
    scope: str
    rs256: PublicKey
    es256: PublicKey


class HAProxy(msgspec.Struct, frozen=True):
    """One process. Its ports let tokens of one algorithm through, or of one kid.

    That of `telling_port` is as that of ES256, and tells each refusal as we do.
    """

    rs256_port: int
    es256_port: int
    kid_port: int
    telling_port: int


@contextmanager
def haproxy(bench: Bench, upstream_port: int, trust: Trust) -> Iterator[HAProxy]:
    """On the core of the program under test."""
    program = installed("haproxy", bench)
    rs256, es256, kid, telling = free_ports(4)
    keys = {"RS256_KEY": trust.rs256, "ES256_KEY": trust.es256}
    for name, key in keys.items():
        (bench.folder / f"{name}.pem").write_text(key.pem)
    environment = {
        **program.environment,
        **{name: str(bench.folder / f"{name}.pem") for name in keys},
        "RS256_PORT": str(rs256),
        "ES256_PORT": str(es256),
        "KID_PORT": str(kid),
        "TELLING_PORT": str(telling),
        "UPSTREAM_PORT": str(upstream_port),
        "ISSUER": trust.issuer,
        "AUDIENCE": trust.audience,
        "SCOPE": trust.scope,
        "ES256_KID": trust.es256.kid,
    }
    with bench.running(
        "haproxy",
        [program.path, "-db", "-f", _CONFIGURATION],
        port=rs256,
        environment=environment,
        under_test=True,
    ):
        yield HAProxy(rs256, es256, kid, telling)
