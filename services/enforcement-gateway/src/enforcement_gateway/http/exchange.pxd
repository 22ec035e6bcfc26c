from enforcement_gateway.http.head_template cimport HeadTemplate
from enforcement_gateway.upstream.forwarding cimport Outline


cdef class Exchange:
    cdef object _server
    cdef object _connection
    cdef object _plan
    cdef Outline _outline
    cdef object _values
    cdef bytes _body
    cdef object _readable
    cdef object _source
    cdef bint _started
    cdef bint _chunked_answer
    cdef bint _gone
    cdef bint _is_final
    cdef public object door
    cdef public bint must_close
    cdef public bytes request_id
    cdef public object source_id
    cdef public object token
    cdef public object write_keys

    cpdef run(self, bytes body)
    cpdef _run_plain(self, bytes body)
    cpdef _heed(self, verdict)
    cpdef _heed_no(self, reason)
    cpdef _deny(self, reason)
    cpdef _forward(self, client_id)
    cpdef answer_whole(self, head, bytes body)
