# Types for the compiled build (ADR 26). The source beside it runs as it is.

cdef class Silence:
    cdef object _epoll
    cdef dict _connections
    cdef double _asked_at

    cpdef bint is_over(self) except -1
    cpdef ensure(self)
