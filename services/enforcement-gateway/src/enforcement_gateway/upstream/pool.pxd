from enforcement_gateway.upstream.connection cimport UpstreamConnection
from enforcement_gateway.upstream.known_answers cimport KnownAnswers


cdef class Pool:
    cdef public object origin
    cdef object _counters
    cdef Py_ssize_t _max_connections
    cdef double _connect_timeout
    cdef double _answer_timeout
    cdef object _tls
    cdef public list _idle
    cdef public set _open
    cdef set _connecting
    cdef KnownAnswers _known_answers

    cpdef send(self, bytes request, answers)
    cpdef give_back(self, connection)
