# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway.upstream.pool cimport Pool


cdef class Plan:
    cdef readonly object head
    cdef readonly object route
    cdef readonly object door
    cdef readonly object behind
    cdef readonly Pool pool
    cdef readonly object authorization
    cdef readonly object query
    cdef readonly object refusal
    cdef readonly bint must_close
    cdef readonly bint body_decides
    cdef readonly bint is_plain
    cdef readonly bint inflates
    cdef readonly dict denials


@cython.locals(plan=Plan)
cpdef Plan plan_of(head, server)
cdef _consider(Plan plan, server)
cpdef outlined(Plan plan, peer, varying=*)
