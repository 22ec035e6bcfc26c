# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway.body.write_keys cimport read_write_keys_quickly
from enforcement_gateway.counters cimport Counters
from enforcement_gateway.domain.authorization cimport KnownToken
from enforcement_gateway.http.exchange cimport Connection, Exchange
from enforcement_gateway.http.head_template cimport HeadTemplate
from enforcement_gateway.http.plans cimport Plan
from enforcement_gateway.http.regulars cimport Regulars
from enforcement_gateway.http.server cimport Server
from enforcement_gateway.http.strangers cimport Strangers
from enforcement_gateway.sockets.transport cimport SocketTransport, own_or_none
from enforcement_gateway.upstream.answers cimport KnownHead

cdef int _HEAD, _LENGTH, _CHUNKS, _BUSY, _LINGER, _CLOSED
cdef double _FOREVER
cdef Py_ssize_t _LARGE


cdef class ServerConnection(Connection):
    cdef Server _server
    cdef object _limits
    cdef int _state
    cdef readonly bytes _buffer
    cdef readonly Exchange _exchange
    cdef bytes _request_id
    cdef HeadTemplate _template
    cdef int _patience
    cdef SocketTransport _own_transport
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
    cdef bint _was_let_in
    cdef bint _is_demoted
    cdef readonly object _transport
    cdef public double deadline

    @cython.locals(
        server=Server,
        template=HeadTemplate,
        at=Py_ssize_t,
        length=Py_ssize_t,
        missing=Py_ssize_t,
        octets="const char*",
        token=bytes,
        strangers=Strangers,
    )
    cpdef data_received(self, bytes data)
    cpdef _await_next(self)
    cpdef _begin_body(self, HeadTemplate template, bytes start)
    @cython.locals(
        server=Server,
        plan=Plan,
        readable=bytes,
        write_keys=tuple,
        known=KnownToken,
        request_id=bytes,
        forwarded=bytes,
        regulars=Regulars,
        asking=list,
        exchange=Exchange,
    )
    cpdef _pass_on(self, HeadTemplate template, bytes request, bytes body)
    @cython.locals(own=SocketTransport)
    cpdef bint turn_away(self, bytes answer, double idle_until) except -1
    cpdef read_alone(self, bytes request)
    @cython.locals(
        server=Server,
        template=HeadTemplate,
        request=bytes,
        body_at=Py_ssize_t,
        exchange=Exchange,
    )
    cpdef look_closer(self, bytes request_id, tuple question, look)
    @cython.locals(server=Server, template=HeadTemplate, body=bytes, exchange=Exchange)
    cpdef take_up(self, bytes request, inflated)
    cpdef break_off(self, fault, bytes request_id=*)
    cpdef Exchange _open_exchange(self, Plan plan, HeadTemplate template=*)
    cpdef Exchange _taken_up(self)
    @cython.locals(server=Server, own=SocketTransport, answer=bytes)
    cpdef answer_known(self, KnownHead known, bytes body)
