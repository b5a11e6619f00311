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

/// The whole of a file that the kernel makes while it is read; empty where there is none.
func kernelFile(_ path: String) -> String {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return "" }
    defer { close(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = read(file, &buffer, buffer.count)
        guard count > 0, bytes.count < 64 << 20 else { return String(decoding: bytes, as: UTF8.self) }
        bytes += buffer[..<count]
    }
}
