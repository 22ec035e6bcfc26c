# The same as in the source beside it, which is not compiled, for modules that are.
#
# A table is a list: its slots, what they lead to, and how many of them are taken. A
# slot is one line of the processor's cache and holds the text of its key; a key that is
# too long for that is not kept. It stands in the first slot that was free from where
# its hash points to. A table that is full begins anew, twice as large if it may.
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.object cimport PyObject, PyObject_Hash
from libc.stdint cimport uintptr_t
from libc.string cimport memcmp, memcpy

cdef extern from "Python.h":
    bint is_ascii "PyUnicode_IS_COMPACT_ASCII"(str text)
    Py_ssize_t length_of "PyUnicode_GET_LENGTH"(str text)
    const void *octets_of "PyUnicode_DATA"(str text)

cdef enum:
    LINE = 64
    LONGEST = 55
    FEWEST_SLOTS = 1024
    MOST_SLOTS = 131072  # 8 MB

cdef struct Slot:
    PyObject *lead
    unsigned char size
    char text[LONGEST]


cdef inline list begun():
    return _of(FEWEST_SLOTS)


cdef inline list _of(Py_ssize_t slots):
    return [bytearray((slots + 1) * LINE), [None] * slots, 0]


cdef inline Slot *_slot_of(list asked, str write_key, Py_ssize_t *index) except NULL:
    """That of the key, or the free one where it would stand."""
    cdef Py_ssize_t last = len(<list>asked[1]) - 1
    cdef Py_ssize_t size = length_of(write_key), at = PyObject_Hash(write_key) & last
    cdef const void *text = octets_of(write_key)
    cdef uintptr_t start = <uintptr_t>PyByteArray_AS_STRING(<bytearray>asked[0])
    cdef Slot *slots = <Slot *>((start + LINE - 1) & ~<uintptr_t>(LINE - 1))
    cdef Slot *slot
    while True:
        slot = slots + at
        if not slot.lead or (slot.size == size and not memcmp(slot.text, text, size)):
            index[0] = at
            return slot
        at = (at + 1) & last


cdef inline object found(list asked, str write_key):
    cdef Py_ssize_t index
    cdef Slot *slot
    if write_key is None or not is_ascii(write_key) or length_of(write_key) > LONGEST:
        return None
    slot = _slot_of(asked, write_key, &index)
    return <object>slot.lead if slot.lead else None


cdef inline keep(list asked, str write_key, lead):
    cdef Py_ssize_t index, slots = len(<list>asked[1])
    cdef Slot *slot
    if not is_ascii(write_key) or length_of(write_key) > LONGEST:
        return
    slot = _slot_of(asked, write_key, &index)
    if not slot.lead:
        if asked[2] >= slots // 4 * 3:
            asked[:] = _of(min(2 * slots, <Py_ssize_t>MOST_SLOTS))
            slot = _slot_of(asked, write_key, &index)
        asked[2] += 1
        slot.size = length_of(write_key)
        memcpy(slot.text, octets_of(write_key), slot.size)
    slot.lead = <PyObject *>lead
    (<list>asked[1])[index] = lead
