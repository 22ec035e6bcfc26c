# Types for the compiled build (ADR 26). The source beside it runs as it is.
cdef class Watched:
    cdef readonly object receive

    cpdef on_ready(self, long events)
    cpdef go_on(self, read)
    cpdef fail(self, error)
    cpdef flush(self)
