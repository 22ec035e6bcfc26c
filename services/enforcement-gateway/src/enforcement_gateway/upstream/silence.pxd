# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython


cdef class Silence:
    cdef object _epoll
    cdef dict _connections
    cdef double _asked_at

    @cython.locals(now=double)
    cpdef ensure(self)
