# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway cimport pieces
from enforcement_gateway.http.responses cimport Dates
from enforcement_gateway.turns cimport Turn

cdef Dates _dates
cdef Turn _turn
cdef bytes _CRLF


cdef class KnownHead:
    cdef readonly object head
    cdef readonly bytes octets
    cdef readonly Py_ssize_t end
    cdef readonly Py_ssize_t length
    cdef readonly Py_ssize_t size
    cdef readonly int status
    cdef readonly bint is_dated
    cdef readonly bint is_success
    cdef readonly bytes start
    cdef bytes _body
    cdef bytes _rest
    cdef long _turn

    @cython.locals(date=bytes, rest=bytes)
    cpdef bytes whole(self, bytes request_id, bytes body)


cdef class Answers:
    cpdef answer_known(self, KnownHead known, bytes body)
    cpdef answer_whole(self, head, bytes body)
    cpdef answer_started(self, head, source)
    cpdef answer_continued(self, bytes piece)
    cpdef answer_ended(self)
    cpdef answer_failed(self, reason)
