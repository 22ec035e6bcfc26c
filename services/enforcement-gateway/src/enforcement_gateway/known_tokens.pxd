# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway cimport pieces
from enforcement_gateway.domain.authorization cimport KnownToken

cdef Py_ssize_t _SIZE_OF_END


cdef class KnownTokens:
    cdef dict _by_end
    cdef Py_ssize_t _most

    @cython.locals(known=KnownToken)
    cpdef KnownToken get(self, bytes token)
    cpdef bint may_have_one_of(self, list tokens) except -1
    @cython.locals(octets="const char*", at=Py_ssize_t, known=KnownToken)
    cpdef KnownToken between(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    @cython.locals(known=dict)
    cpdef add(self, bytes token, verified)
