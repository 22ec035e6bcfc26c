# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway cimport pieces
from enforcement_gateway.domain.authorization cimport KnownToken
from enforcement_gateway.http.plans cimport Plan
from enforcement_gateway.known_tokens cimport KnownTokens
from enforcement_gateway.upstream.forwarding cimport Outline
from enforcement_gateway.upstream.pool cimport Pool

cdef unsigned char _ZERO
cdef bytes _TOKEN_OCTETS, _VALUE_OCTETS
cdef int _IN_TOKEN, _IN_LENGTH, _IN_FORWARDED, _IN_DROPPED


cdef class HeadTemplate:
    cdef readonly Plan plan
    cdef readonly Outline outline
    cdef readonly list fields
    cdef readonly object varying
    cdef readonly bytes token
    cdef public KnownToken known
    cdef readonly Py_ssize_t length
    cdef readonly bytes digits
    cdef readonly bint is_everyday
    cdef readonly Pool pool
    cdef readonly list values
    cdef list _holes
    cdef bint _varies
    cdef bytes _after
    cdef Py_ssize_t _after_size
    cdef bint _is_usual
    cdef bytes _lead
    cdef Py_ssize_t _lead_size
    cdef bytes _middle
    cdef Py_ssize_t _middle_size
    cdef bytes _rest
    cdef Py_ssize_t _rest_size
    cdef Py_ssize_t _token_end
    cdef readonly Py_ssize_t body_at
    cdef bint _repeats
    cdef bytes _start
    cdef Py_ssize_t _start_size
    cdef bytes _whole
    cdef public bint refuses

    cpdef expect_more(self)
    @cython.locals(
        start=Py_ssize_t, end=Py_ssize_t, sizes=list, tokens=list, odd=Py_ssize_t
    )
    cpdef list tokens_of(self, tuple requests)

    @cython.locals(
        at=Py_ssize_t,
        start=Py_ssize_t,
        end=Py_ssize_t,
        digits=bytes,
        known=KnownToken,
    )
    cpdef Py_ssize_t fit(self, bytes data, KnownTokens sound) except -1

    @cython.locals(
        at=Py_ssize_t,
        end=Py_ssize_t,
        before_size=Py_ssize_t,
        kind=int,
        before=bytes,
        value=bytes,
    )
    cdef Py_ssize_t _fit_anew(self, bytes data, KnownTokens sound) except -1

    cdef Py_ssize_t _read_end(self, bytes data, Py_ssize_t at) except -1

    @cython.locals(digits=bytes, end=Py_ssize_t, at=Py_ssize_t)
    cdef Py_ssize_t _read_length(self, bytes data, Py_ssize_t start) except -1

    @cython.locals(end=Py_ssize_t)
    cdef Py_ssize_t _read_token(
        self, bytes data, Py_ssize_t start, KnownTokens sound
    ) except -1

    @cython.locals(known=KnownToken, last=KnownToken, text=bytes, token=bytes)
    cdef bint _take(
        self, bytes data, Py_ssize_t start, Py_ssize_t end, KnownTokens sound
    ) except -1


@cython.locals(odd=Py_ssize_t)
cpdef bint _may_be_token(bytes text) except -1
