cdef class Outline:
    cdef list _before_values
    cdef bytes _before_client
    cdef bytes _before_id
    cdef bytes _before_id_of_nobody
    cdef bytes _before_length

    cpdef bytes filled(self, client_id, bytes request_id, bytes body, values=*)
