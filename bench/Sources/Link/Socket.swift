import Glibc

/// An IPv4 socket of a probe, closed with its last reference.
final class Socket: Sendable {
    let descriptor: Int32

    /// Makes a socket in the calling thread's network namespace.
    ///
    /// - Parameters:
    ///   - type: stream or datagram
    ///   - address: where it is bound; nowhere unless said
    ///   - port: the port it is bound to
    init(_ type: __socket_type, bound address: String? = nil, port: UInt16 = 0) throws {
        descriptor = socket(AF_INET, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw BenchError(.system, "no socket: \(errorText())") }
        guard let address else { return }
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        guard Self.with(address, port, { bind(descriptor, $0, $1) }) == 0 else {
            throw BenchError(.system, "cannot bind \(address):\(port): \(errorText())")
        }
    }

    deinit { close(descriptor) }

    /// Connects it.
    func connect(_ address: String, port: UInt16) throws {
        guard Self.with(address, port, { Glibc.connect(descriptor, $0, $1) }) == 0 else {
            throw BenchError(.system, "cannot connect to \(address):\(port): \(errorText())")
        }
    }

    /// Ends both directions.
    func shutdown() { Glibc.shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// The longest that connecting, accepting, sending and receiving wait.
    func setTimeout(seconds: Int) { Self.setTimeout(seconds: seconds, of: descriptor) }

    /// The longest that a connection's sending and receiving wait.
    static func setTimeout(seconds: Int, of descriptor: Int32) {
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            var time = timeval(tv_sec: seconds, tv_usec: 0)
            setsockopt(descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    /// Makes room for what arrives while the receiver is not scheduled; needs root for so much.
    func setReceiveBuffer(bytes: Int32) {
        var bytes = bytes
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, socklen_t(MemoryLayout<Int32>.size))
    }

    /// The port it is bound to.
    var port: Int {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            _ = pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    private static func with(
        _ address: String, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = port.bigEndian
        inet_pton(AF_INET, address, &name.sin_addr)
        return withUnsafePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}
