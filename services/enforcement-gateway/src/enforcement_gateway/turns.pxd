# Types for the compiled build (ADR 26). The source beside it runs as it is.
cdef class Turn:
    cdef long long _begun
    cdef readonly long long number

    cpdef begin(self)
    cpdef end(self)
