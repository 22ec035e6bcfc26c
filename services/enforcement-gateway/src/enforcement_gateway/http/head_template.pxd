# Types for the compiled build: see docs/adr/0022. The source beside it runs as it is.
import cython


cdef class HeadTemplate:
    cdef readonly object plan
    cdef readonly object outline
    cdef readonly list fields
    cdef readonly object varying
    cdef readonly bytes token
    cdef readonly Py_ssize_t length
    cdef readonly list values
    cdef list _holes
    cdef bint _varies
    cdef bytes _after
    cdef Py_ssize_t _after_size
    cdef bytes _known_token

    @cython.locals(
        start=Py_ssize_t,
        end=Py_ssize_t,
        size=Py_ssize_t,
        body=Py_ssize_t,
        kind=int,
        before=bytes,
        text=bytes,
    )
    cpdef Py_ssize_t fit(self, bytes data) except -1
