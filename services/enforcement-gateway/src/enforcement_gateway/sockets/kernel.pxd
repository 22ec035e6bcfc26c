# The same as in the source beside it, which is not compiled, for modules that are.
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EAGAIN, EINTR, errno

cdef extern from "sys/socket.h" nogil:
    enum: MSG_DONTWAIT
    enum: MSG_NOSIGNAL
    ssize_t c_receive "recv"(int descriptor, void *into, size_t size, int flags)
    ssize_t c_send "send"(int descriptor, const void *data, size_t size, int flags)

cdef enum:
    READ_SIZE = 65536


cdef inline bytes receive(int descriptor):
    cdef char into[READ_SIZE]
    cdef ssize_t size
    while True:
        size = c_receive(descriptor, into, READ_SIZE, MSG_DONTWAIT)
        if size >= 0:
            return PyBytes_FromStringAndSize(into, size)
        if errno == EAGAIN:
            return None
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)


cdef inline Py_ssize_t send(int descriptor, bytes data, Py_ssize_t start) except -1:
    cdef ssize_t size
    while True:
        size = c_send(
            descriptor,
            PyBytes_AS_STRING(data) + start,
            PyBytes_GET_SIZE(data) - start,
            MSG_DONTWAIT | MSG_NOSIGNAL,
        )
        if size >= 0:
            return size
        if errno == EAGAIN:
            return 0
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
