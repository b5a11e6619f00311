import Glibc

/// The service manager that started the process, as sd_notify(3) describes: a datagram socket that states are told to.
///
/// Nothing of libsystemd is needed: the protocol is `KEY=VALUE` lines in one datagram.
public struct ServiceManager: Sendable {
    /// What a process tells its service manager.
    public enum Message: Hashable, Sendable {
        /// It has started, or has read its configuration again.
        case ready
        /// It reads its configuration again; the monotonic clock's time, in microseconds, when it began.
        case reloading(microseconds: UInt64)
        /// It stops.
        case stopping
        /// It is alive.
        case watchdog
        /// How it is, in one line for people.
        case status(String)

        /// The datagram. A text is one line, without control characters.
        var text: String {
            switch self {
            case .ready: "READY=1\n"
            case .reloading(let microseconds): "RELOADING=1\nMONOTONIC_USEC=\(microseconds)\n"
            case .stopping: "STOPPING=1\n"
            case .watchdog: "WATCHDOG=1\n"
            case .status(let text):
                "STATUS="
                    + String(
                        String.UnicodeScalarView(
                            text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }
                                .prefix(500))) + "\n"
            }
        }
    }

    /// The time within which the manager wants to hear that the process is alive; `nil` where it does not watch.
    public let watchdogInterval: Duration?
    private let address: [UInt8]?

    /// - Parameters:
    ///   - environment: the process's environment: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`
    ///   - processID: the process's ID; its own unless said
    public init(environment: [String: String], processID: Int32? = nil) {
        address = environment["NOTIFY_SOCKET"].flatMap(Self.address(of:))
        // Meant for us only if it names us, or nobody.
        let isOurs = environment["WATCHDOG_PID"].map { $0 == "\(processID ?? getpid())" } ?? true
        watchdogInterval =
            address != nil && isOurs
            ? environment["WATCHDOG_USEC"].flatMap { Int64($0) }.flatMap { $0 > 0 ? .microseconds($0) : nil } : nil
    }

    /// Whether there is a manager to tell anything.
    public var isThere: Bool { address != nil }

    /// The present of the monotonic clock, in microseconds, as `reloading` wants it.
    public static var monotonicMicroseconds: UInt64 {
        var now = timespec()
        guard clock_gettime(CLOCK_MONOTONIC, &now) == 0 else { return 0 }
        return UInt64(clamping: now.tv_sec) &* 1_000_000 &+ UInt64(clamping: now.tv_nsec / 1000)
    }

    /// Tells the manager something, and does nothing where there is none. A message that cannot be delivered is lost: what
    /// the manager makes of silence is its own configuration's business.
    ///
    /// - Returns: whether it was delivered
    @discardableResult
    public func tell(_ messages: Message...) -> Bool {
        guard let address else { return false }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &name.sun_path) { path in path.copyBytes(from: address) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2) + socklen_t(address.count)
        let bytes = Array(messages.map(\.text).joined().utf8)
        let sent = withUnsafePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
                sendto(
                    descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT), name,
                    length)
            }
        }
        return sent == bytes.count
    }

    /// The bytes of `sun_path`: a path, or `@NAME` in the abstract namespace, which begins with a zero; `nil` for anything
    /// else, such as a virtual machine's socket, and for what does not fit.
    static func address(of text: String) -> [UInt8]? {
        var bytes = Array(text.utf8)
        guard bytes.count > 1, bytes.count < 108 else { return nil }
        switch bytes[0] {
        case UInt8(ascii: "/"): return bytes
        case UInt8(ascii: "@"):
            bytes[0] = 0
            return bytes
        default: return nil
        }
    }
}
