# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway.sockets.demotion cimport Demoted, Waiting
from enforcement_gateway.sockets.watched cimport Watched
from enforcement_gateway.turns cimport Turn


cdef class Readiness:
    cdef object _epoll
    cdef object _others
    cdef int _others_descriptor
    cdef dict _watched
    cdef dict _demoted
    cdef Turn _turn
    cdef Waiting _waiting
    cdef list _arriving
    cdef object _clock
    cdef readonly list written

    @cython.locals(watched=Watched, written=list)
    cdef _flush(self)

    cpdef demote(self, int descriptor, Watched watched)
    cpdef promote(self, int descriptor, Watched watched)
    @cython.locals(lot=list, watched=Watched, events=long)
    cdef bint _hear_at_once(self, list told) except -1
    @cython.locals(most=Py_ssize_t)
    cdef _hear_arrivals(self)
    cdef _hear_demoted(self, Py_ssize_t most)

    @cython.locals(waiting=Waiting, nobody_waits=bint, heard=Py_ssize_t, most=Py_ssize_t, told=list, by_descriptor=dict, watched=Watched, descriptor=int, events=long)
    cpdef list select(self, timeout=*)
