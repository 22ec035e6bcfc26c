# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway.counters cimport Counters
from enforcement_gateway.http.strangers cimport Stranger
from enforcement_gateway.turns cimport Turn


cdef class Regular(Stranger):
    cdef public bint gives_way

    cpdef promote(self)
    cpdef take_up(self, bytes request, inflated)


cdef class Regulars:
    cdef object _server
    cdef Turn _turn
    cdef readonly list asking

    cpdef come(self)
    @cython.locals(
        asking=list,
        admitted=list,
        counters=Counters,
        requests=list,
        one=Regular,
        forwarded=bytes,
    )
    cpdef serve(self)
    @cython.locals(one=Regular, request=bytes)
    cdef _have_taken_up(self, list asking, list admitted)
