# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway.sockets cimport kernel
from enforcement_gateway.sockets.readiness cimport Readiness
from enforcement_gateway.sockets.watched cimport Watched

cdef Py_ssize_t HIGH_WATER, LARGEST_PIECE
cdef int READS_IN_A_ROW
cdef long _USUAL, _READABLE, _WRITABLE, _ENDED, _BROKEN, _AGAIN


cdef class SocketTransport(Watched):
    cdef object _loop
    cdef Readiness _readiness
    cdef object _socket
    cdef int _descriptor
    cdef object _protocol
    cdef object _receive
    cdef list _written
    cdef bint _plain
    cdef readonly bytes unsent
    cdef Py_ssize_t _start
    cdef list _behind
    cdef Py_ssize_t _behind_size
    cdef Py_ssize_t _high_water
    cdef bint _blocked
    cdef bint _closing
    cdef bint _lost
    cdef bint _ended
    cdef bint _paused
    cdef bint _stirred
    cdef bint _congested
    cdef bint _shuts

    cpdef bint is_closing(self)
    cpdef Py_ssize_t get_write_buffer_size(self)
    cpdef write(self, bytes data)
    @cython.locals(sent=Py_ssize_t)
    cpdef write_now(self, bytes data)
    cpdef demote(self)
    cpdef promote(self)
    @cython.locals(data=bytes, reads=int)
    cpdef on_ready(self, long events)
    @cython.locals(data=bytes, sent=Py_ssize_t, is_plain=bint)
    cpdef flush(self)
    cdef bint _is_to_read(self, long events) except -1
    cdef _write_behind(self, bytes data)
    @cython.locals(start=Py_ssize_t)
    cdef bytes _next_to_send(self)
    cdef _note_sent(self, Py_ssize_t sent, Py_ssize_t offered)
    cdef _settle(self)
    cdef _tell_of_congestion(self)
    cpdef _lose(self, error)


cpdef SocketTransport own_or_none(transport)
