# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway.turns cimport Turn


cdef class Watched:
    cpdef on_ready(self, long events)
    cpdef flush(self)


cdef class Readiness:
    cdef object _epoll
    cdef object _others
    cdef int _others_descriptor
    cdef dict _watched
    cdef Turn _turn
    cdef readonly list written

    @cython.locals(watched=Watched, written=list)
    cdef _flush(self)

    @cython.locals(told=list, by_descriptor=dict, watched=Watched, descriptor=int, events=long)
    cpdef list select(self, timeout=*)
