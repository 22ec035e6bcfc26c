# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

cdef object _OFF, _ENFORCE, _COMPROMISED


cdef class Demand:
    cdef readonly str scope
    cdef readonly str audience


cdef class KnownToken:
    cdef readonly object verified
    cdef readonly str client_id
    cdef readonly bytes client_id_octets
    cdef readonly str name
    cdef readonly str signing_kid
    cdef readonly str key
    cdef readonly frozenset scopes
    cdef readonly frozenset audiences
    cdef readonly double exp
    cdef readonly double nbf

    cpdef bint is_plainly_timely(self, double now) except -1


@cython.locals(client_id=str, scope=str)
cpdef bint admits_plainly(
    KnownToken token, str write_key, registry, tokens, Demand demand
) except -1
cpdef bint is_enforced(str write_key, registry) except -1
