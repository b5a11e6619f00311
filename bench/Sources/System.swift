import Glibc

/// The last system call's error in words.
func errorText(_ code: Int32 = errno) -> String { String(cString: strerror(code)) }

/// Nanoseconds of the clock that never goes back.
func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Seconds of the clock that never goes back.
func monotonicSeconds() -> Double { Double(monotonicNanoseconds()) / 1e9 }

/// Writes a line to standard error: progress and warnings, while figures go to standard output.
func warn(_ line: String) {
    let text = "rollcall-bench: \(line)\n"
    _ = write(STDERR_FILENO, text, text.utf8.count)
}

/// Sleeps without holding anything up.
func pause(milliseconds: Int) { usleep(UInt32(milliseconds) * 1000) }
