# Types for the compiled build (ADR 26). The source beside it runs as it is.
cdef dict _known

cpdef tuple alone(str key)
cpdef bint is_printable(str key) except -1
