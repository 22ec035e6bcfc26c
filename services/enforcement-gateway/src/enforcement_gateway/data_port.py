"""The address of the data port: checked by the parent, shared by the workers."""

import contextlib
import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Any

from enforcement_gateway.settings import Settings
from tollgate.http.server import CannotListen

_NOT_OURS = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """TLS 1.2 or later if there is a certificate; `CannotListen` if it is no good."""
    if settings.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_private_key)
    except ssl.SSLError as error:
        raise CannotListen(f"the certificate cannot be used: {error.reason}") from None
    except OSError as error:
        raise CannotListen(
            f"the certificate cannot be read: {error.strerror}"
        ) from None
    return context


@contextlib.contextmanager
def reserved(settings: Settings) -> Iterator[None]:
    """Hold the addresses without listening, or raise `CannotListen`.

    With SO_REUSEPORT a second gateway of the same user would be let in beside this
    one, and each get a share of the requests. So they are first asked for alone.
    """
    for held in bind(settings, shared=False):
        held.close()
    holders = bind(settings, shared=True)
    try:
        yield
    finally:
        for held in holders:
            held.close()


def bind(settings: Settings, *, shared: bool) -> list[socket.socket]:
    """A socket for each address of the host, not listening; or `CannotListen`.

    A family of addresses that this machine does not have is left out if it has the
    other: `localhost` is both in most tables of hosts.
    """
    place = f"{settings.host}:{settings.port}"
    bound: list[socket.socket] = []
    missing: OSError | None = None
    try:
        infos = socket.getaddrinfo(
            settings.host,
            settings.port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
        # Each once: a table of hosts may lead to the same address by two lines.
        for family, kind, _, _, address in dict.fromkeys(infos):
            try:
                bound.append(_bind(family, kind, address, shared=shared))
            except OSError as error:
                if error.errno not in _NOT_OURS:
                    raise
                missing = error
    except OSError as error:
        for holder in bound:
            holder.close()
        raise CannotListen(f"cannot listen on {place}: {error.strerror}") from None
    if not bound and missing is not None:
        raise CannotListen(f"cannot listen on {place}: {missing.strerror}")
    return bound


def _bind(
    family: int, kind: int, address: tuple[Any, ...], *, shared: bool
) -> socket.socket:
    holder = socket.socket(family, kind)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
        if shared:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, True)
        if family == socket.AF_INET6:  # the other one has a socket of its own
            holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
        holder.bind(address)
    except OSError:
        holder.close()
        raise
    return holder
