from enforcement_gateway.http.exchange cimport Exchange
from enforcement_gateway.http.head_template cimport HeadTemplate


cdef class ServerConnection:
    cdef object _server
    cdef object _limits
    cdef object _loop
    cdef int _state
    cdef readonly bytes _buffer
    cdef readonly object _exchange
    cdef HeadTemplate _template
    cdef int _patience
    cdef list _parts
    cdef Py_ssize_t _left
    cdef object _chunks
    cdef Py_ssize_t _held
    cdef Py_ssize_t _lingered
    cdef bint _advancing
    cdef bint _paused
    cdef bint _ended
    cdef bint _in_head
    cdef bint _skipped_line
    cdef readonly object _transport
    cdef public bint is_congested
    cdef public double deadline
    cdef public object peer

    cpdef data_received(self, bytes data)
    cpdef answer(self, bytes answer, bint close)
    cpdef _await_next(self)
    cpdef bint _begin_again(self, HeadTemplate template, bytes data, Py_ssize_t at) except -1
