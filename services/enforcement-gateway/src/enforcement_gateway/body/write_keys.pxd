import cython

cdef unsigned char _IS_ODD, _IS_K, _IS_H, _QUOTE
cdef bytes _TELLING
cdef Py_ssize_t _TO_K, _FROM_K, _TO_H, _FROM_H

@cython.locals(taken=Py_ssize_t, batches=Py_ssize_t, keys=tuple)
cpdef read_write_keys_quickly(bytes body)

@cython.locals(
    octets="const unsigned char *",
    telling="const unsigned char *",
    end=Py_ssize_t,
    at=Py_ssize_t,
    told="unsigned char",
    keys_found=Py_ssize_t,
    batches_found=Py_ssize_t,
)
cpdef bint holds_no_more_by_octet(
    bytes body, Py_ssize_t keys, Py_ssize_t batches
) except -1

@cython.locals(start=Py_ssize_t, behind=Py_ssize_t)
cdef bint _is_write_key(bytes octets, Py_ssize_t k, Py_ssize_t end) except -1
@cython.locals(start=Py_ssize_t, behind=Py_ssize_t)
cdef bint _is_batch(bytes octets, Py_ssize_t h, Py_ssize_t end) except -1
