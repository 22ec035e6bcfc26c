# Types for the compiled build (ADR 26). The source beside it runs as it is.
cdef class RefusalLog:
    cdef double _since
    cdef readonly long lines_left
    cdef public long left_out

    cpdef tell(self, reason, long status, bytes request_id, bytes address)
