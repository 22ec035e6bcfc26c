import cython


cdef class RefusalLog:
    cdef long _second
    cdef long _lines
    cdef long _left_out

    @cython.locals(second=long)
    cpdef tell(self, reason, status, bytes request_id, bytes address)
    cdef _begin(self, long second)
