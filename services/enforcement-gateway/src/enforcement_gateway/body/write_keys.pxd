import cython

@cython.locals(folded=bytes, spelt=Py_ssize_t)
cpdef tuple read_write_keys_quickly(bytes body)

cpdef bytes fold(bytes body)
cpdef Py_ssize_t keys_spelt(bytes body, bytes folded, Py_ssize_t batches) except -2
cdef bint _is_absurd(bytes folded) except -1
cdef bint _may_spell_otherwise(bytes body) except -1
cdef _alone(str key)
cdef bint _is_printable(str key) except -1
