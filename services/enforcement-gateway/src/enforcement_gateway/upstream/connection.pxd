# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway.sockets.transport cimport SocketTransport, own_or_none
from enforcement_gateway.upstream.answers cimport Answers, KnownHead
from enforcement_gateway.upstream.known_answers cimport KnownAnswers


cdef class Owner:
    cdef public double clock
    cdef public list idle

    cpdef lost(self, UpstreamConnection connection)


cdef class UpstreamConnection:
    cdef Answers _answers
    cdef bint _busy
    cdef Py_ssize_t _drained
    cdef KnownAnswers _known
    cdef SocketTransport _own_transport
    cdef Owner _owner
    cdef object _parser
    cdef double _patience
    cdef bint _parses
    cdef bint _started
    cdef readonly object _transport
    cdef public double deadline
    cdef readonly int descriptor
    cdef public double idle_since
    cdef readonly bint is_closed

    cpdef bint is_idle(self) except -1
    @cython.locals(own=SocketTransport)
    cpdef send(self, bytes request, Answers answers)
    @cython.locals(answers=Answers, known=KnownHead)
    cpdef data_received(self, bytes data)
    @cython.locals(answers=Answers)
    cpdef _deliver(self, head)
    @cython.locals(own=SocketTransport, is_sent=bint)
    cpdef _finish(self, bint keeps_alive)
    @cython.locals(answers=Answers)
    cpdef _fail(self, reason)
