# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway.counters cimport Counters
from enforcement_gateway.upstream.answers cimport Answers
from enforcement_gateway.upstream.connection cimport Owner, UpstreamConnection
from enforcement_gateway.upstream.known_answers cimport KnownAnswers
from enforcement_gateway.upstream.silence cimport Silence


cdef class Pool(Owner):
    cdef readonly object origin
    cdef Counters _counters
    cdef Py_ssize_t _max_connections
    cdef double _connect_timeout
    cdef double _answer_timeout
    cdef object _tls
    cdef readonly list _idle
    cdef readonly list _resting
    cdef readonly set _open
    cdef readonly set _connecting
    cdef KnownAnswers _known_answers
    cdef Silence _silence

    @cython.locals(connection=UpstreamConnection, idle=list)
    cpdef send(self, bytes request, Answers answers)
    cdef _end_rest(self)
    cpdef give_back(self, UpstreamConnection connection)
    cpdef lost(self, UpstreamConnection connection)
