# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway.body.absurdity cimport is_absurd
from enforcement_gateway.body.known_keys cimport alone, is_printable

ctypedef const unsigned char* octets

cdef Py_ssize_t _MAX_DEPTH, _DECLINED, _KEY_SIZE, _BATCH_SIZE
cdef int _OTHER, _KEY, _BATCH, _CASE
cdef bytes _KEY_TEXT, _BATCH_TEXT, _TRUE_TEXT, _FALSE_TEXT, _NULL_TEXT
cdef bytes _KINDS_TABLE, _SIZE_TABLE, _SECOND_FROM_TABLE, _SECOND_TO_TABLE
cdef unsigned char _PLAIN, _SPACE, _DIGIT, _HEX, _ESCAPED, _CONTINUES
cdef octets _KEY_OCTETS, _BATCH_OCTETS, _TRUE, _FALSE, _NULL
cdef octets _KINDS, _SIZE, _SECOND_FROM, _SECOND_TO

cpdef tuple scan_write_keys(bytes body)
@cython.locals(keys=list, at=Py_ssize_t)
cdef tuple _scan(octets text, Py_ssize_t size)

@cython.locals(
    has_key=bint,
    has_batch=bint,
    start=Py_ssize_t,
    name=int,
)
cdef Py_ssize_t _members_end(octets text, Py_ssize_t at, list keys, bint at_top) except -2
cdef Py_ssize_t _events_end(octets text, Py_ssize_t at, list keys) except -2
@cython.locals(name=int, octets="const unsigned char*", difference=int, index=Py_ssize_t)
cdef int _name_at(octets text, Py_ssize_t at, Py_ssize_t size, bint at_top) noexcept

@cython.locals(depth=int, nesting="unsigned long long", octet="unsigned char")
cdef Py_ssize_t _value_end(octets text, Py_ssize_t at) noexcept
cdef Py_ssize_t _after_space(octets text, Py_ssize_t at) noexcept
cdef Py_ssize_t _plain_end(octets text, Py_ssize_t at) noexcept
@cython.locals(octet="unsigned char")
cdef Py_ssize_t _string_end(octets text, Py_ssize_t at) noexcept
cdef Py_ssize_t _escape_end(octets text, Py_ssize_t at) noexcept
@cython.locals(
    lead="unsigned char", second="unsigned char", size=Py_ssize_t, index=Py_ssize_t
)
cdef Py_ssize_t _character_end(octets text, Py_ssize_t at) noexcept
cdef Py_ssize_t _number_end(octets text, Py_ssize_t at) noexcept
cdef Py_ssize_t _digits_end(octets text, Py_ssize_t at) noexcept
@cython.locals(octet="unsigned char")
cdef Py_ssize_t _literal_end(octets text, Py_ssize_t at) noexcept
@cython.locals(index=Py_ssize_t)
cdef Py_ssize_t _word_end(octets text, Py_ssize_t at, octets word, Py_ssize_t size) noexcept
