# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway.upstream.connection cimport UpstreamConnection


cdef class Silence:
    cdef object _epoll
    cdef dict _connections
    cdef readonly double known_until

    @cython.locals(connection=UpstreamConnection, events=long)
    cpdef ensure(self)
