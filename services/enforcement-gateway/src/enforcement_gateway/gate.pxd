cdef class Gate:
    cdef object _view
    cdef object _verifier
    cdef object _counters
    cdef object _audiences
    cdef bint _admit_unknown
    cdef object _keys
    cdef list _waiting
    cdef object _reading
    cdef tuple _tracking_door

    cpdef decide(self, asked)
    cdef bint _admits_plainly(self, token, write_key) except -1
    cpdef _decide(self, asked)
    cpdef refuses(self, token, bytes body)
    cpdef confirm(self, waiting)
