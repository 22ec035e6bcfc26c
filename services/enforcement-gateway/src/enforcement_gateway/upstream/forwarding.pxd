# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway cimport pieces

cdef bytes _END


cdef class Outline:
    cdef list _before_values
    cdef bytes _before_client
    cdef bytes _before_id
    cdef bytes _before_id_of_nobody
    cdef bytes _before_length

    @cython.locals(start=bytes, before=bytes, value=bytes)
    cpdef bytes filled(
        self, bytes client_id, bytes request_id, bytes digits, bytes body, list values
    )
