# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway.upstream.connection cimport UpstreamConnection

cdef int _ANYTHING


@cython.locals(connection=UpstreamConnection, told=list, loud=set, silent=list)
cpdef list silent_among(list connections)
