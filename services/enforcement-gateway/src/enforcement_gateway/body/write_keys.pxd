import cython

from enforcement_gateway.body.absurdity cimport is_absurd
from enforcement_gateway.body.known_keys cimport alone, is_printable
from enforcement_gateway.body.scanner cimport scan_write_keys

cdef Py_ssize_t _FEWEST_INDEXED, _MOST_INDEXED

@cython.locals(keys=tuple)
cpdef tuple read_write_keys_quickly(bytes body)
@cython.locals(names=list, spelt=Py_ssize_t)
cpdef tuple index_write_keys(bytes body)
@cython.locals(spelt=Py_ssize_t)
cpdef tuple parse_write_keys(bytes body)
cdef tuple _all(list taken, Py_ssize_t spelt)

@cython.locals(folded=bytes)
cpdef Py_ssize_t keys_spelt(bytes body, Py_ssize_t batches) except -2
@cython.locals(folded=bytes, begun=Py_ssize_t, spelt=Py_ssize_t)
cpdef Py_ssize_t keys_spelt_at_most(bytes body) except -2
@cython.locals(folded=bytes)
cdef bytes _folded(bytes body)
cdef bint _may_spell_otherwise(bytes body) except -1
cdef bint _escapes_a_letter(bytes body) except -1
