import cython

from enforcement_gateway cimport pieces
from enforcement_gateway.upstream.answers cimport KnownHead

cdef bytes _END
cdef Py_ssize_t _SIZE_OF_END


cdef class KnownAnswers:
    cdef dict _heads
    cdef KnownHead _last
    cdef bytes _said
    cdef readonly bytes body

    @cython.locals(known=KnownHead)
    cpdef KnownHead recognise(self, bytes data)
