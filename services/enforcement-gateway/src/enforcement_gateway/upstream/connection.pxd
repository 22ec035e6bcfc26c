from enforcement_gateway.upstream.known_answers cimport KnownAnswers


cdef class UpstreamConnection:
    cdef object _answers
    cdef bint _busy
    cdef bint _closed
    cdef Py_ssize_t _drained
    cdef KnownAnswers _known
    cdef object _loop
    cdef object _owner
    cdef object _parser
    cdef double _patience
    cdef object _poll
    cdef bint _started
    cdef readonly object _transport
    cdef public double deadline
    cdef public double idle_since

    cpdef bint is_alive(self) except -1
    cpdef send(self, bytes request, answers)
    cpdef data_received(self, bytes data)
    cpdef _deliver(self, head)
    cpdef _finish(self, bint keeps_alive)
    cpdef _fail(self, reason)
