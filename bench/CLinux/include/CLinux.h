// The Linux calls that Swift cannot make: variadic ones, and what a child does between fork and exec.
// Every function returns a negative errno on failure.
#ifndef ROLLCALL_BENCH_CLINUX_H
#define ROLLCALL_BENCH_CLINUX_H

/// Creates a TUN device in the caller's network namespace and returns its non-blocking descriptor.
/// No packet information header and no offloads: each read and each write is one IP packet of at most the MTU.
/// The device goes away with the descriptor.
int bench_tun_open(const char *name);

/// Moves the calling thread to the network namespace behind the descriptor.
int bench_namespace_enter(int descriptor);

/// A descriptor that polls readable once the process has ended.
int bench_pidfd_open(int pid);

/// Waits until one of the descriptors is readable, or so many nanoseconds at most; for ever where they are negative.
/// `readable` tells for each descriptor whether it is.
void bench_wait_readable(const int *descriptors, int *readable, int count, long long nanoseconds);

/// How a process is started.
struct bench_launch {
    const char *path;
    char *const *arguments;
    char *const *environment;
    /// A network namespace for the process; -1 for the caller's.
    int network_namespace;
    int input;
    int output;
    int errors;
};

/// Starts a process in a process group of its own, with every signal unblocked, which dies with the calling thread.
/// Returns its id once the program was loaded.
int bench_spawn(const struct bench_launch *launch);

/// A loop of dependent arithmetic, the same on every machine: what others' times are measured in.
unsigned long long bench_calibrate(unsigned long long rounds);

/// Begins to count the instructions of the calling process in user mode, threads started later included, and returns the
/// counter's descriptor (perf_event_open).
int bench_instructions_open(void);

/// The instructions counted so far; negative on failure.
long long bench_instructions_read(int descriptor);

#endif
