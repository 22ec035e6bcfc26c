# The same as in the source beside it, which is not compiled, for modules that are.
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.errno cimport EINTR, errno

cdef extern from "poll.h" nogil:
    enum: POLLIN
    cdef struct pollfd:
        int fd
        short events
        short revents
    int c_poll "poll"(pollfd *asked, unsigned long count, int timeout)

cdef extern from "sys/socket.h" nogil:
    enum: MSG_DONTWAIT
    enum: MSG_NOSIGNAL
    ssize_t c_receive "recv"(int descriptor, void *into, size_t size, int flags)
    ssize_t c_send "send"(int descriptor, const void *data, size_t size, int flags)

cdef enum:
    READ_SIZE = 131072


cdef inline bytes receive(int descriptor, Py_ssize_t size):
    cdef char into[READ_SIZE]
    cdef ssize_t received
    if size > READ_SIZE:
        size = READ_SIZE
    while True:
        received = c_receive(descriptor, into, size, MSG_DONTWAIT)
        if received >= 0:
            return PyBytes_FromStringAndSize(into, received)
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)


cdef inline Py_ssize_t send(int descriptor, bytes data) except -1:
    cdef ssize_t sent
    while True:
        sent = c_send(
            descriptor,
            PyBytes_AS_STRING(data),
            PyBytes_GET_SIZE(data),
            MSG_DONTWAIT | MSG_NOSIGNAL,
        )
        if sent >= 0:
            return sent
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)


cdef inline list readable_among(list descriptors):
    cdef Py_ssize_t index, count = len(descriptors)
    cdef pollfd *asked = <pollfd *>PyMem_Malloc(count * sizeof(pollfd))
    cdef list readable = []
    if asked is NULL:
        raise MemoryError()
    try:
        for index in range(count):
            asked[index].fd = descriptors[index]
            asked[index].events = POLLIN
            asked[index].revents = 0
        while c_poll(asked, count, 0) < 0:
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
        for index in range(count):
            if asked[index].revents:
                readable.append(descriptors[index])
        return readable
    finally:
        PyMem_Free(asked)
