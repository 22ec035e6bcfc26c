# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway.counters cimport Counters
from enforcement_gateway.http.head_template cimport HeadTemplate
from enforcement_gateway.http.plans cimport Plan
from enforcement_gateway.http.refusal_log cimport RefusalLog
from enforcement_gateway.http.responses cimport PreparedDenial
from enforcement_gateway.turns cimport Turn
from enforcement_gateway.upstream.answers cimport Answers


cdef class Stranger(Answers):
    cdef public object peer

    cpdef bint turn_away(self, bytes answer, double idle_until) except -1
    cpdef look_closer(self, bytes request_id, tuple question, look)
    cpdef break_off(self, fault)


cdef class Strangers:
    cdef object _server
    cdef Turn _turn
    cdef readonly list asked

    cpdef come(self)
    @cython.locals(
        asked=list,
        looks=list,
        number=Py_ssize_t,
        question=tuple,
        one=Stranger,
        counters=Counters,
        refusals=RefusalLog,
        idle_until=double,
        its_template=HeadTemplate,
        template=HeadTemplate,
        answer=PreparedDenial,
        around_ids=list,
        request_id=bytes,
        id_size=Py_ssize_t,
        told=list,
    )
    cpdef serve(self)
    @cython.locals(answer=PreparedDenial)
    cdef PreparedDenial _known_denial(self, Plan plan, look)
