import Glibc

/// The largest resident memory of a process and of its descendants, looked at from outside while they run.
///
/// `VmHWM` begins anew with each program (proc(5)). The kernel's account of an ended process (`ru_maxrss`) does not: when
/// a program is started it keeps what the process had before, which is a copy of whoever forked it (Linux, fs/exec.c,
/// `exec_mmap`).
struct MemoryWatch {
    /// Seconds between two looks; more where a look takes more than a hundredth of them.
    static let interval = 0.01
    /// Processes that one look asks, at most.
    static let mostProcesses = 256
    /// Bytes by which the kernel's counts of resident pages may be off.
    private static let tolerance = 1 << 20

    /// What the process's starter had had when it forked, in bytes: at or below it, `ru_maxrss` says nothing.
    let floor: Int
    /// The largest that was seen of any one process, in bytes.
    private(set) var peak = 0
    /// When the next look is due, in seconds of the clock that never goes back.
    private(set) var due = 0.0

    /// - Parameter floor: the largest memory of the starter so far, in bytes
    init(floor: Int) { self.floor = floor }

    /// Looks at a process and its descendants.
    ///
    /// - Parameters:
    ///   - process: its id
    ///   - read: what reads the kernel's files
    mutating func look(at process: pid_t, read: (String) -> String = kernelFile) {
        let start = monotonicSeconds()
        var waiting = [process]
        var seen = 0
        while let next = waiting.popLast(), seen < Self.mostProcesses {
            seen += 1
            peak = max(peak, Self.highWater(read("/proc/\(next)/status")))
            // Of its first thread: what starts others here are shells and xargs, which have no more.
            waiting += read("/proc/\(next)/task/\(next)/children").split(separator: " ").compactMap { pid_t($0) }
        }
        let end = monotonicSeconds()
        due = end + max(Self.interval, (end - start) * 99)
    }

    /// The largest memory, with what the kernel says at the end, in bytes.
    ///
    /// - Parameter reported: `ru_maxrss` in bytes. Above the floor it is the process's own and exact; below, it is the floor.
    func total(reported: Int) -> Int { reported > floor + Self.tolerance ? max(peak, reported) : peak }

    /// `VmHWM` out of a process's `status`, in bytes; 0 of one that has ended.
    static func highWater(_ status: String) -> Int {
        // By the C library: a look must cost little in a debug build too.
        status.withCString { text in
            // Behind the line of the name, which may hold anything.
            let name = "\nVmHWM:"
            guard let line = strstr(text, name) else { return 0 }
            return min(max(0, strtol(line + name.utf8.count, nil, 10)), 1 << 40) << 10
        }
    }
}
