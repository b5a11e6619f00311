// What Linux and glibc offer and the Glibc module does not export to Swift.
#ifndef ROLLCALL_CSYSTEM_SHIM_H
#define ROLLCALL_CSYSTEM_SHIM_H

#include <malloc.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

/// Names the calling thread, at most 15 characters, for debuggers and top.
static inline void rollcall_name_thread(const char *_Nonnull name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

/// Bounds the number of glibc's malloc arenas. To be called before threads are made.
static inline void rollcall_limit_malloc_arenas(int count) { mallopt(M_ARENA_MAX, count); }

#endif
