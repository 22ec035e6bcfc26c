# Types for the compiled build (ADR 26). The source beside it runs as it is.
cdef class Turn:
    cdef readonly bint is_under_way
    cdef readonly long number
    cdef list _put_off

    cpdef begin(self)
    cpdef put_off(self, work)
    cpdef end(self)
