# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway.sockets cimport kernel
from enforcement_gateway.upstream.connection cimport UpstreamConnection


@cython.locals(
    each=UpstreamConnection, connection=UpstreamConnection, loud=list, silent=list
)
cpdef list silent_among(list connections)
