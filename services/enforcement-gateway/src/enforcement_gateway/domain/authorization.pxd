# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway.domain cimport asked

cdef object _OFF, _ENFORCE, _COMPROMISED


cdef class Demand:
    cdef readonly str scope
    cdef readonly str audience


cdef class KnownToken


cdef class Grounds:
    cdef object _registry
    cdef object _tokens
    cdef readonly list asked
    cdef readonly dict signing_keys
    cdef readonly dict cuts
    cdef readonly object revoked

    cpdef bint of(self, registry, tokens) except -1
    cpdef look_up(self, str write_key)
    cpdef bint is_revoked(self, KnownToken token) except -1


@cython.no_gc  # it is in no cycle, and there are many
cdef class KnownToken:
    # What is asked at every request stands together.
    cdef readonly bytes text
    cdef readonly object lead
    cdef readonly Demand demand
    cdef readonly object signing_key
    cdef readonly str signing_kid
    cdef readonly str name
    cdef readonly object admitted
    cdef readonly set revoked_since
    cdef readonly double exp
    cdef readonly double nbf
    cdef readonly bytes client_id_octets
    cdef readonly str client_id
    cdef readonly object verified

    cpdef bint is_plainly_timely(self, double now) except -1
    @cython.locals(scope=str)
    cpdef bint satisfies(self, lead, Demand demand) except -1
    cpdef bint trusts(self, signing_key) except -1


@cython.locals(since=set, name=str)
cpdef bint admits_plainly(
    KnownToken token, str write_key, Grounds grounds, Demand demand
) except -1
cpdef bint is_enforced(str write_key, registry) except -1
