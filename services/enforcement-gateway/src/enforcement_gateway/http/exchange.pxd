# Types for the compiled build (ADR 26). The source beside it runs as it is.
from enforcement_gateway.body.write_keys cimport read_write_keys_quickly
from enforcement_gateway.http.head_template cimport HeadTemplate
from enforcement_gateway.http.plans cimport Plan
from enforcement_gateway.http.regulars cimport Regular
from enforcement_gateway.http.server cimport Server
from enforcement_gateway.upstream.answers cimport Answers, KnownHead
from enforcement_gateway.upstream.forwarding cimport Outline


cdef class Connection(Regular):
    cdef public bint is_congested

    cpdef demote(self)
    cpdef answer(self, bytes answer, bint close)
    cpdef continue_answer(self, bytes piece)
    cpdef break_answer(self)


cdef class Exchange(Answers):
    cdef Server _server
    cdef Connection _connection
    cdef Plan _plan
    cdef Outline _outline
    cdef bytes _digits
    cdef list _values
    cdef bytes _body
    cdef object _readable
    cdef object _source
    cdef bint _started
    cdef bint _chunked_answer
    cdef bint _gone
    cdef bint _is_final
    cdef object _unknown
    cdef public object door
    cdef public bint must_close
    cdef readonly bytes request_id
    cdef readonly object source_id
    cdef readonly object token
    cdef readonly tuple write_keys

    cpdef run(self, bytes body)
    cpdef go_on_inflating(self, bytes body, inflation)
    cpdef go_on_reading(self, bytes body, bytes readable)
    cpdef run_plain(self, bytes body, look)
    cpdef _heed(self, verdict)
    cpdef _heed_no(self, reason)
    cpdef _deny(self, reason)
    cpdef _forward(self, client_id)
