# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

cdef bytes _NAME
cdef unsigned char _BACKSLASH
cdef dict _known
cdef bytes _last_end
cdef str _last_key

@cython.locals(size=Py_ssize_t, start=Py_ssize_t, tail=bytes, known=str)
cpdef str last_write_key(bytes body)
cdef str _read(bytes tail)
