#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int bench_tun_open(const char *name) {
    struct ifreq request;
    memset(&request, 0, sizeof request);
    if (strlen(name) >= sizeof request.ifr_name) return -ENAMETOOLONG;
    strcpy(request.ifr_name, name);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    int descriptor = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) return -errno;
    if (ioctl(descriptor, TUNSETIFF, &request) < 0 || ioctl(descriptor, TUNSETOFFLOAD, 0) < 0) {
        int code = errno;
        close(descriptor);
        return -code;
    }
    return descriptor;
}

int bench_namespace_enter(int descriptor) { return setns(descriptor, CLONE_NEWNET) < 0 ? -errno : 0; }

int bench_pidfd_open(int pid) {
    long descriptor = syscall(SYS_pidfd_open, pid, 0);
    return descriptor < 0 ? -errno : (int)descriptor;
}

void bench_wait_readable(const int *descriptors, int *readable, int count, long long nanoseconds) {
    struct pollfd polled[8] = {0};
    if (count > 8) count = 8;
    for (int i = 0; i < count; i++) polled[i] = (struct pollfd){.fd = descriptors[i], .events = POLLIN};
    struct timespec time = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    int ready = ppoll(polled, (nfds_t)count, nanoseconds < 0 ? NULL : &time, NULL);
    for (int i = 0; i < count; i++) readable[i] = ready > 0 && polled[i].revents != 0;
}

// Between fork and exec only async-signal-safe calls: another thread may have held the allocator's lock.
static void run_child(const struct bench_launch *launch, int report) {
    sigset_t none;
    sigemptyset(&none);
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigaction(SIGPIPE, &standard, NULL);
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0) goto failed;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || setpgid(0, 0) < 0) goto failed;
    if (launch->network_namespace >= 0 && setns(launch->network_namespace, CLONE_NEWNET) < 0) goto failed;
    if (dup2(launch->input, 0) < 0 || dup2(launch->output, 1) < 0 || dup2(launch->errors, 2) < 0) goto failed;
    execve(launch->path, launch->arguments, launch->environment);
failed:;
    int code = errno;
    (void)!write(report, &code, sizeof code);
    _exit(127);
}

int bench_spawn(const struct bench_launch *launch) {
    int report[2];
    if (pipe2(report, O_CLOEXEC) < 0) return -errno;
    pid_t pid = fork();
    if (pid == 0) run_child(launch, report[1]);
    int code = pid < 0 ? errno : 0;
    close(report[1]);
    if (pid > 0) {
        ssize_t count;
        do count = read(report[0], &code, sizeof code);
        while (count < 0 && errno == EINTR);
        if (count == (ssize_t)sizeof code) waitpid(pid, NULL, 0);
        else code = 0;
    }
    close(report[0]);
    return code != 0 ? -code : pid;
}

unsigned long long bench_calibrate(unsigned long long rounds) {
    unsigned long long state = 0x9E3779B97F4A7C15ULL;
    for (unsigned long long i = 0; i < rounds; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    return state;
}

int bench_instructions_open(void) {
    struct perf_event_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.type = PERF_TYPE_HARDWARE;
    attributes.size = sizeof attributes;
    attributes.config = PERF_COUNT_HW_INSTRUCTIONS;
    attributes.inherit = 1;
    attributes.exclude_kernel = 1;
    attributes.exclude_hv = 1;
    long descriptor = syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    return descriptor < 0 ? -errno : (int)descriptor;
}

long long bench_instructions_read(int descriptor) {
    long long count = 0;
    return read(descriptor, &count, sizeof count) == (ssize_t)sizeof count ? count : -EIO;
}
