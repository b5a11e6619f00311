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

/// fcntl.h has it under _GNU_SOURCE only, which would give other types other members than Swift's Glibc module has.
int sync_file_range(int descriptor, long offset, long count, unsigned int flags);

/// Asks the kernel to begin writing a part of a file to the disk. Waits for nothing, and promises nothing.
static inline void rollcall_start_writeback(int descriptor, long offset, long count) {
    sync_file_range(descriptor, offset, count, 2 /* SYNC_FILE_RANGE_WRITE */);
}

/// stdio.h has it under _GNU_SOURCE only.
int renameat2(
    int from_directory, const char *_Nonnull from, int to_directory, const char *_Nonnull to, unsigned int flags);

/// Renames a file unless there is one of the new name. Returns 0, or -1 with errno; EINVAL where the file system cannot.
static inline int rollcall_rename_unless_there(const char *_Nonnull from, const char *_Nonnull to) {
    return renameat2(-100 /* AT_FDCWD */, from, -100, to, 1 /* RENAME_NOREPLACE */);
}

#endif
