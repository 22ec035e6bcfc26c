# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway.counters cimport Counters
from enforcement_gateway.turns cimport Turn
from enforcement_gateway.upstream.answers cimport Answers
from enforcement_gateway.upstream.connection cimport Owner, UpstreamConnection
from enforcement_gateway.upstream.known_answers cimport KnownAnswers
from enforcement_gateway.upstream.silence cimport silent_among


cdef class Pool(Owner):
    cdef readonly object origin
    cdef Counters _counters
    cdef Py_ssize_t _max_connections
    cdef double _connect_timeout
    cdef double _answer_timeout
    cdef object _tls
    cdef readonly set _open
    cdef readonly set _connecting
    cdef KnownAnswers _known_answers
    cdef list _requests
    cdef Turn _turn

    @cython.locals(requests=list)
    cpdef send(self, bytes request, Answers answers)
    cpdef send_each(self, list requests)
    @cython.locals(
        requests=list,
        silent=list,
        request=bytes,
        answers=Answers,
        connection=UpstreamConnection,
    )
    cpdef _send_all(self)
    @cython.locals(idle=list, taken=list, start=Py_ssize_t)
    cdef list _take_silent(self, Py_ssize_t wanted)
    cpdef _send_on_new(self, bytes request, Answers answers)
    cpdef lost(self, UpstreamConnection connection)
