"""The address of the data port: checked by the parent, shared by the workers."""

import socket
import ssl

from enforcement_gateway.settings import Settings
from tollgate.http.server import CannotListen


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


def reserve(settings: Settings) -> socket.socket:
    """Hold the address without listening, or raise `CannotListen`.

    With SO_REUSEPORT a second gateway of the same user would be let in beside this
    one, and each get a share of the requests. So the address is first asked for alone.
    """
    _bind(settings, shared=False).close()
    return _bind(settings, shared=True)


def _bind(settings: Settings, *, shared: bool) -> socket.socket:
    place = f"{settings.host}:{settings.port}"
    holder: socket.socket | None = None
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM
        )[0]
        holder = socket.socket(family, kind)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(address)
    except OSError as error:
        if holder is not None:
            holder.close()
        raise CannotListen(f"cannot listen on {place}: {error.strerror}") from None
    return holder
