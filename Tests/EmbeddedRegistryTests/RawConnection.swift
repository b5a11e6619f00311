import Glibc
import TestSupport

/// A TCP connection to 127.0.0.1, whose user decides what is sent, and what is read and when. Nothing of it blocks: who
/// waits for something asks again.
final class RawConnection: Sendable {
    private let descriptor: Int32

    /// - Parameter port: the server's
    init(port: Int) throws {
        let opened = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard opened >= 0 else { throw TestSupportError("no socket: errno \(errno)") }
        // What is not read must wait at the server.
        var size: Int32 = 16 << 10
        setsockopt(opened, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        address.sin_port = UInt16(port).bigEndian
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(opened, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        let code = errno
        descriptor = opened
        // It closes with this value.
        guard isConnected else { throw TestSupportError("cannot connect to 127.0.0.1:\(port): errno \(code)") }
    }

    deinit { close(descriptor) }

    /// Sends a text.
    func send(_ text: String) async throws { try await send(Array(text.utf8)) }

    /// Sends bytes, as the server takes them.
    ///
    /// - Throws: where the server has ended the connection
    func send(_ bytes: [UInt8]) async throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Glibc.send(
                    descriptor, buffer.baseAddress.map { $0 + sent }, buffer.count - sent,
                    Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            if count > 0 {
                sent += count
            } else if errno == EAGAIN || errno == EINTR {
                await pauseALittle()
            } else {
                throw TestSupportError("the connection has ended: errno \(errno)")
            }
        }
    }

    /// All that comes until the server's end of the stream.
    ///
    /// - Throws: where the server has broken the connection before that
    func receiveAll() async throws -> [UInt8] {
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count == 0 { return received }
            if count > 0 {
                received += buffer.prefix(count)
            } else if errno == EAGAIN || errno == EINTR {
                await pauseALittle()
            } else {
                throw TestSupportError("the connection has ended: errno \(errno)")
            }
        }
    }

    /// Whether something has come that was not read.
    var hasAnswer: Bool {
        var byte: UInt8 = 0
        return recv(descriptor, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) > 0
    }
}
