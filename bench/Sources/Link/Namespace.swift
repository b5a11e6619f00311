import CLinux
import FoundationEssentials
import Glibc

/// A network namespace of the benchmark's own, named after its process, and removed with it.
final class Namespace {
    private static let prefix = "rollcall-bench-"

    let name: String
    /// The namespace for `setns`.
    let descriptor: Int32
    private let cleanup: Int

    /// Makes the namespace with its loopback up.
    ///
    /// - Parameter side: the last part of its name
    /// - Throws: `BenchError` without root, or where `ip` fails
    init(_ side: String) throws {
        guard geteuid() == 0 else {
            throw BenchError(
                .unavailable, "the emulated link needs root (network namespaces, TUN devices): run it with sudo")
        }
        let name = "\(Self.prefix)\(getpid())-\(side)"
        try Command(["ip", "netns", "add", name]).run()
        self.name = name
        // `ip` unmounts and removes the name; the namespace itself goes with its last process.
        cleanup = Cleanup.add {
            umount2("/run/netns/\(name)", Int32(MNT_DETACH))
            unlink("/run/netns/\(name)")
        }
        descriptor = open("/run/netns/\(name)", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw BenchError(.system, "cannot open namespace \(name): \(errorText())") }
        try Command(["ip", "link", "set", "lo", "up"]).run(in: self)
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        Cleanup.run(cleanup)
    }

    /// Runs `body` with the calling thread in the namespace: sockets and devices it makes belong there for good.
    func enter<Result>(_ body: () throws -> Result) throws -> Result {
        let home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
        defer { close(home) }
        let code = bench_namespace_enter(descriptor)
        guard home >= 0, code == 0 else {
            throw BenchError(.system, "cannot enter namespace \(name): \(errorText(-code))")
        }
        defer { _ = bench_namespace_enter(home) }
        return try body()
    }

    /// A setting of the namespace's network, such as `ipv4/tcp_congestion_control`.
    func setting(_ key: String) -> String {
        (try? enter { NetworkSetting.read("/proc/sys/net/\(key)") }) ?? "unknown"
    }

    /// What its TCP has done so far.
    var counters: TCPCounters {
        let path = "/proc/thread-self/net/snmp"
        let file = try? enter { try Data(contentsOf: URL(filePath: path)) }
        return TCPCounters(String(decoding: file ?? Data(), as: UTF8.self))
    }

    /// Changes a setting of the namespace's network; the host's stays as it is.
    func set(_ key: String, _ value: String) throws {
        try enter {
            guard NetworkSetting.write(value, to: "/proc/sys/net/\(key)") else {
                throw BenchError(.system, "cannot set net/\(key) to \(value) in \(name): \(errorText())")
            }
        }
    }

    /// Removes the namespaces of benchmarks that were killed.
    static func removeAbandoned() {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/run/netns")) ?? []
        where name.hasPrefix(prefix) {
            guard let pid = pid_t(name.dropFirst(prefix.count).prefix { $0.isNumber }), !Scratch.isRunning(pid) else {
                continue
            }
            umount2("/run/netns/\(name)", Int32(MNT_DETACH))
            unlink("/run/netns/\(name)")
        }
    }
}
