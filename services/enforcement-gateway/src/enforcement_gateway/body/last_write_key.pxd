# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway cimport pieces

cdef bytes _NAME
cdef unsigned char _BACKSLASH
cdef dict _known
cdef bytes _last_end
cdef str _last_key

@cython.locals(start=Py_ssize_t, tail=bytes, known=str)
cpdef str last_write_key(bytes octets, Py_ssize_t at=*)
cpdef list last_write_keys(tuple requests, tuple starts)
cdef str _read(bytes tail)
