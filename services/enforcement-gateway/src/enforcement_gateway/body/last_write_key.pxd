# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

cdef bytes _NAME
cdef unsigned char _BACKSLASH
cdef dict _known

@cython.locals(size=Py_ssize_t, start=Py_ssize_t, tail=bytes)
cpdef str last_write_key(bytes body)
cdef str _read(bytes tail)
