# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway.sockets.watched cimport Watched

cdef long _ENDED
cdef double _EARNED


cdef class Demoted(Watched):
    cdef Waiting _waiting
    cdef Watched _watched
    cdef long _events

    @cython.locals(waiting=Waiting)
    cpdef on_ready(self, long events)
    @cython.locals(events=long)
    cpdef hear(self)


cdef class Waiting:
    cdef readonly object queue
    cdef public Py_ssize_t told
    cdef object _let_in
    cdef Py_ssize_t _were_let_in
    cdef object _clock
    cdef double _balance
    cdef double _others_until
    cdef double _since

    @cython.locals(for_others=double)
    cpdef patience(self, timeout)
    cpdef bint is_at_rest(self)
    @cython.locals(now=double)
    cpdef start(self)
    @cython.locals(now=double, earned=double, were_let_in=Py_ssize_t)
    cpdef note_others(self)
    @cython.locals(now=double)
    cpdef note_own(self)
    @cython.locals(demoted=Demoted)
    cpdef hear(self, Py_ssize_t most)
