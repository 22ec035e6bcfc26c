# The same as in the source beside it, which is not compiled, for modules that are.
cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    ctypedef int clockid_t
    cdef struct timespec:
        time_t tv_sec
        long tv_nsec
    int clock_gettime(clockid_t clock, timespec *now)
    clockid_t CLOCK_REALTIME


cdef extern from *:
    """
    #include <time.h>
    #ifdef CLOCK_BOOTTIME
    #define TOLLGATE_BOOTTIME CLOCK_BOOTTIME
    #else
    #define TOLLGATE_BOOTTIME CLOCK_MONOTONIC
    #endif
    """
    clockid_t TOLLGATE_BOOTTIME


cdef inline double _now(clockid_t clock) except? -1:
    cdef timespec now
    if clock_gettime(clock, &now):
        raise OSError("a clock cannot be read")
    return (now.tv_sec * 1_000_000_000 + now.tv_nsec) / 1e9


cdef inline double wall() except? -1:
    return _now(CLOCK_REALTIME)


cdef inline double boottime() except? -1:
    return _now(TOLLGATE_BOOTTIME)
