"""The data port: whoever connects to it, served."""

import socket
import ssl
from collections.abc import Sequence

from enforcement_gateway.http.protocol import ServerConnection
from enforcement_gateway.http.server import Server
from enforcement_gateway.sockets.listener import Listener
from enforcement_gateway.sockets.loop import running_loop


def serve(
    server: Server,
    sockets: Sequence[socket.socket],
    tls: ssl.SSLContext | None = None,
) -> Listener:
    """Serve whoever connects to one of `sockets`, which listen, until it is closed."""
    server.start()
    counters = server.counters
    return running_loop().listen(
        sockets,
        lambda: ServerConnection(server),
        tls,
        welcomed=lambda: counters.connections_let_in,
        make_room=server.make_room,
    )
