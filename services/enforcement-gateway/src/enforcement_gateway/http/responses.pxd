import cython


cdef class Dates:
    cdef readonly double since
    cdef bytes _line

    @cython.locals(now=double)
    cpdef bytes line(self)


cdef class PreparedDenial:
    cdef readonly object reason
    cdef readonly long status
    cdef readonly Py_ssize_t id_size
    cdef readonly bint is_of_the_unknown
    cdef bytes _start
    cdef list _rest
    cdef double _since
    cdef double _until
    cdef list _dated

    cpdef bytes filled(self, bytes request_id)
    cpdef list around_ids(self)
