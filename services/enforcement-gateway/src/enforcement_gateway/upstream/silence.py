"""Which connections to an upstream are silent, though nobody asked anything.

An upstream may end a connection that is idle, and what it says may have arrived without
the event loop having come to it: a request written then would be lost, and what came
would be taken for its answer. So the kernel is asked before a connection is used, about
all that are to be used at once: a system call for each would be too many.
"""

from enforcement_gateway.sockets import kernel
from enforcement_gateway.upstream.connection import UpstreamConnection


def silent_among(connections: list[UpstreamConnection]) -> list[UpstreamConnection]:
    """Those on which nothing has come. The others are closed."""
    descriptors = [each.descriptor for each in connections]
    try:
        loud = kernel.readable_among(descriptors)
    except OSError:
        loud = descriptors  # nobody knows, so none of them is used
    if not loud:
        return connections
    silent = []
    for connection in connections:
        if connection.descriptor in loud:
            connection.close()
        else:
            silent.append(connection)
    return silent
