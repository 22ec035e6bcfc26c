# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

@cython.locals(size=Py_ssize_t)
cpdef bint is_absurd(bytes body) except -1
