# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway cimport clocks
from enforcement_gateway.body.last_write_key cimport last_write_keys
from enforcement_gateway.counters cimport Counters
from enforcement_gateway.domain.authorization cimport (
    Demand,
    Grounds,
    KnownToken,
    admits_plainly,
    is_enforced,
)
from enforcement_gateway.known_tokens cimport KnownTokens
from enforcement_gateway.view cimport View


cdef class Gate:
    cdef View _view
    cdef readonly object verifier
    cdef readonly KnownTokens remembered
    cdef Counters _counters
    cdef object _audiences
    cdef bint _admit_unknown
    cdef object _keys
    cdef object _of_keys
    cdef object _of_all
    cdef Demand _to_track
    cdef Grounds _grounds
    cdef object _look_at_each

    @cython.locals(known=KnownToken)
    cpdef decide(self, asked)
    cpdef bint admits_plainly(self, KnownToken token, str write_key) except -1
    @cython.locals(
        view=View,
        grounds=Grounds,
        demand=Demand,
        each=tuple,
        token=KnownToken,
        admitted=list,
        wall=double,
    )
    cpdef list admitted_among(self, list asking)
    @cython.locals(view=View, wall=double)
    cpdef _decide(self, asked)
    cpdef refuses(self, token, bytes body)
    @cython.locals(
        view=View,
        is_fresh=cython.bint,
        tokens=tuple,
        requests=tuple,
        starts=tuple,
        write_keys=list,
        named=set,
        enforced=set,
        looks=list,
    )
    cpdef list refuses_each(self, list questions)
    cpdef confirm(self, waiting, reason, long requests=*)
