# The same as in the source beside it, which is not compiled, for modules that are.
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memcmp, memcpy

cdef extern from "Python.h":
    void *item_of "PyTuple_GET_ITEM"(tuple pieces, Py_ssize_t index)
    Py_ssize_t length_of "PyTuple_GET_SIZE"(tuple pieces)
    bint is_bytes "PyBytes_Check"(void *piece)
    Py_ssize_t size_of "PyBytes_GET_SIZE"(void *piece)
    char *start_of "PyBytes_AS_STRING"(void *piece)


cdef inline bytes joined(tuple pieces):
    cdef Py_ssize_t index, count = length_of(pieces), size = 0
    cdef void *piece
    cdef bytes made
    cdef char *at
    for index in range(count):
        piece = item_of(pieces, index)
        if not is_bytes(piece):
            raise TypeError("only bytes are joined")
        size += size_of(piece)
    made = PyBytes_FromStringAndSize(NULL, size)
    at = start_of(<void *>made)
    for index in range(count):
        piece = item_of(pieces, index)
        memcpy(at, start_of(piece), size_of(piece))
        at += size_of(piece)
    return made


cdef inline bint begins(bytes octets, bytes piece, Py_ssize_t at) except -1:
    cdef const char *start = octets
    cdef const char *wanted = piece
    cdef Py_ssize_t size = len(piece)
    return 0 <= at <= len(octets) - size and memcmp(start + at, wanted, size) == 0


cdef inline bint all_have(tuple octets, bytes piece, Py_ssize_t at) except -1:
    cdef bytes each
    for each in octets:
        if not begins(each, piece, at if at >= 0 else at + len(each)):
            return False
    return True


cdef inline bint all_end(tuple octets, bytes piece, tuple starts) except -1:
    cdef bytes each
    cdef Py_ssize_t at, index, size = len(piece)
    for index in range(len(octets)):
        each = octets[index]
        at = len(each) - size
        if at < <Py_ssize_t>starts[index] or not begins(each, piece, at):
            return False
    return size > 0


cdef inline list cut(tuple octets, Py_ssize_t start, Py_ssize_t end):
    cdef bytes each
    return [each[start:end] for each in octets]
