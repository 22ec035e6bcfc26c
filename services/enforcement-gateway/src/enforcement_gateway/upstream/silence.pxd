# Types for the compiled build (ADR 26). The source beside it runs as it is.

cdef class Silence:
    cdef object _epoll
    cdef dict _connections
    cdef readonly double known_until

    cpdef ensure(self)
