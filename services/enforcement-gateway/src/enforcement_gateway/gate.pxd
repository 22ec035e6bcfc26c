cdef class Gate:
    cdef object _view
    cdef object _verifier
    cdef object _counters
    cdef object _audiences
    cdef bint _admit_unknown
    cdef object _keys
    cdef object _next_reading
    cdef object _reading
    cdef tuple _tracking_door

    cpdef decide(self, asked)
    cdef bint _admits_plainly(self, token, write_key) except -1
    cpdef _decide(self, asked)
