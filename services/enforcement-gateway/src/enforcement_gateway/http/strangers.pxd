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
    cpdef read_alone(self, bytes request)
    cpdef break_off(self, fault, bytes request_id=*)


cdef class Strangers:
    cdef object _server
    cdef Turn _turn
    cdef list _questions
    cdef list _ones
    cdef list _templates
    cdef readonly list unread

    cpdef ask(self, tuple question, Stranger one, HeadTemplate template)
    @cython.locals(
        request=bytes, at=Py_ssize_t, one=Stranger, template=HeadTemplate
    )
    cpdef settled(self, tuple asked, outcome)
    cpdef begin(self, bytes request, Stranger one, HeadTemplate template)
    @cython.locals(questions=list, ones=list, templates=list)
    cpdef serve(self)
    @cython.locals(
        unread=list,
        template=HeadTemplate,
        requests=tuple,
        ones=tuple,
        tokens=list,
        length=Py_ssize_t,
        starts=list,
        is_small=bint,
    )
    cdef _read(self)
    @cython.locals(request_id=bytes)
    cdef _pass_on(self, tuple question, Stranger one, HeadTemplate template, look)
    cdef _break_off(self, Stranger one, fault, bytes request_id=*)
    cdef _have_read(self, bytes request, Stranger one, HeadTemplate template)
    @cython.locals(
        looks=list,
        unverified=Py_ssize_t,
        one=Py_ssize_t,
        alike=bint,
        those=list,
        whose=list,
        template=HeadTemplate,
        answer=PreparedDenial,
    )
    cdef _answer(self, list questions, list ones, list templates, confirmed=*)
    cdef _have_settled(self, list looks, list questions, list ones, list templates)
    @cython.locals(
        counters=Counters,
        refusals=RefusalLog,
        idle_until=double,
        around_ids=list,
        told=long,
        ids=list,
        fits=bint,
        is_written=bint,
        request_id=bytes,
        question=tuple,
        one=Stranger,
        address=bytes,
    )
    cdef _tell(self, PreparedDenial answer, list questions, list ones)
    @cython.locals(answer=PreparedDenial)
    cdef PreparedDenial _known_denial(self, Plan plan, look)


@cython.locals(size=Py_ssize_t, index=Py_ssize_t, alike=dict)
cdef list _told_alike(list looks, list templates)
