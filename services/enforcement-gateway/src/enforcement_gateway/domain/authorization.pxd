cpdef bint admits_plainly(token, write_key, registry, tokens, door) except -1
cpdef bint is_plainly_timely(token, double now) except -1
cpdef bint is_enforced(write_key, registry) except -1
