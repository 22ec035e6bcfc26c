import cython


cdef class KnownAnswers:
    cdef dict _heads

    @cython.locals(end=Py_ssize_t)
    cpdef recognise(self, bytes data)
