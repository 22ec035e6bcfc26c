# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

cdef int _SUCCESS, _REDIRECTION


cpdef bint is_success(int status) except -1


cdef class Counters:
    cdef public long long requests
    cdef public long long admitted
    cdef public long long open
    cdef public dict reported
    cdef public dict denied
    cdef public long long succeeded
    cdef dict _answered_otherwise
    cdef public long long connections
    cdef public long long connections_let_in
    cdef public long long connections_displaced
    cdef public long long connections_now
    cdef public long long demoted_connections_now
    cdef public long long upstream_connections
    cdef public long long upstream_connections_now
    cdef public long long confirmations
    cdef public long long body_bytes
    cdef public long long body_bytes_now
    cdef public object samples

    cpdef count_denied(self, reason, long long requests=*)

    @cython.locals(others=dict)
    cpdef count_answered(self, int status)
