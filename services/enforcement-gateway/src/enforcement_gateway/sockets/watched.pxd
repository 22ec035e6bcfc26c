# Types for the compiled build (ADR 26). The source beside it runs as it is.
cdef class Watched:
    cpdef on_ready(self, long events)
    cpdef flush(self)
