import cython


cdef class Dates:
    cdef long _second
    cdef bytes _line

    @cython.locals(now=long)
    cpdef bytes line(self)


cdef class PreparedDenial:
    cdef readonly long status
    cdef readonly Py_ssize_t id_size
    cdef bytes _start
    cdef list _around_ids

    cpdef bytes filled(self, bytes request_id)
