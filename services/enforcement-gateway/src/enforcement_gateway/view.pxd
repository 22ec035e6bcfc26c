# Types for the compiled build (ADR 26). The source beside it runs as it is.
import cython


cdef class View:
    cdef public object registry
    cdef public object tokens

    cpdef look(self)
    cpdef bint fresh_at(self, double boottime, double wall) except -1


cdef class SubscribedView(View):
    cdef readonly object logs
    cdef object _registry_log
    cdef object _tokens_log
    cdef object _confirmation_timeout
    cdef object _of_registry
    cdef object _of_tokens
    cdef double _boottime
    cdef double _wall

    cdef _note(self, of_registry, of_tokens)
