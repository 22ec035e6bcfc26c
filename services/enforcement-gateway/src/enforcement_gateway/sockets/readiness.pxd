# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway.sockets cimport kernel
from enforcement_gateway.sockets.demotion cimport Demoted, Waiting
from enforcement_gateway.sockets.watched cimport Watched
from enforcement_gateway.turns cimport Turn

cdef long _USUAL


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
    @cython.locals(waiting=Waiting, demoted=dict)
    cdef bint _may_all_be_heard(self, list told) except -1
    @cython.locals(most=Py_ssize_t)
    cdef _hear_arrivals(self)
    cdef _hear_demoted(self, Py_ssize_t most)

    @cython.locals(
        heard=Py_ssize_t,
        others=list,
        usual=long,
        most=Py_ssize_t,
        descriptor=int,
        events=long,
        watched=Watched,
        data=bytes,
    )
    cdef tuple _hear(self, list told, dict by_descriptor)

    @cython.locals(waiting=Waiting, told=list, at_once=bint, heard=Py_ssize_t, others=list, most=Py_ssize_t)
    cpdef list select(self, timeout=*)
