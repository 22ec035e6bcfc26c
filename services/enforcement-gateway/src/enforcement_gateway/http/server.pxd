# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython

from enforcement_gateway.counters cimport Counters
from enforcement_gateway.gate cimport Gate
from enforcement_gateway.http.refusal_log cimport RefusalLog
from enforcement_gateway.http.regulars cimport Regulars
from enforcement_gateway.http.strangers cimport Strangers

cdef tuple _DIGITS


cdef class Server:
    cdef readonly Gate gate
    cdef readonly Counters counters
    cdef readonly object behind
    cdef readonly object limits
    cdef readonly Py_ssize_t max_body
    cdef readonly double idle_seconds
    cdef readonly double clock
    cdef readonly double idle_until
    cdef readonly bytes admin_prefix
    cdef public bint draining
    cdef readonly set connections
    cdef readonly object giving_way
    cdef readonly set tasks
    cdef readonly object reader
    cdef readonly RefusalLog refusals
    cdef readonly object signatures
    cdef readonly Regulars regulars
    cdef readonly Strangers strangers
    cdef readonly object templates
    cdef object _trusted_proxies
    cdef bytes _prefix
    cdef readonly object request_ids
    cdef object _sweeper
    cdef object _emptied
