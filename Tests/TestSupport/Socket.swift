import Glibc

/// Sends a whole request to a port of 127.0.0.1 before it reads anything, as simple clients do, and returns all that comes
/// back until the server's end of the stream.
///
/// - Throws: also where the server breaks the connection before that
public func sendThenReceive(_ request: [UInt8], port: Int) async throws -> String {
    try await withCheckedThrowingContinuation { continuation in
        do {
            try startThread {
                continuation.resume(
                    with: Result {
                        let connection = try Socket.connected(to: port)
                        defer { connection.close() }
                        try connection.send(request)
                        var answer: [UInt8] = []
                        while case let bytes = try connection.receive(), !bytes.isEmpty { answer += bytes }
                        return String(decoding: answer, as: UTF8.self)
                    })
            }
        } catch {
            continuation.resume(throwing: error)
        }
    }
}

/// The peer closed or reset the connection, or the server is being stopped.
struct ConnectionEnded: Error {}

/// One TCP socket, used by one thread; only `interrupt` may come from another.
final class Socket: @unchecked Sendable {
    private let descriptor: Int32
    private let isClosed = Monitor(false)

    private init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// The ports that `freePorts` has looked at: it gives none out twice, since who has one may not listen there yet.
    private static let seen = Monitor<Set<Int>>([])

    /// Ports of 127.0.0.1 that are free now, all different, and no other test's: below those that the system gives to
    /// connections, so that none of these takes one before a server does.
    static func freePorts(_ count: Int) throws -> [Int] {
        var taken: [Int: Socket] = [:]
        defer { for socket in taken.values { socket.close() } }
        for _ in 0..<1000 where taken.count < count {
            let port = Int.random(in: 20_000..<32_000)
            guard seen.update({ $0.insert(port).inserted }), let socket = try? listening(on: UInt16(port)).socket else {
                continue
            }
            taken[port] = socket
        }
        guard taken.count == count else { throw TestSupportError("127.0.0.1 has no \(count) free ports") }
        return Array(taken.keys)
    }

    /// Listens on a port of 127.0.0.1; on a free one for 0.
    ///
    /// - Parameter isDown: whether it does not listen: it keeps the port from others, and who connects is refused
    static func listening(on port: UInt16 = 0, isDown: Bool = false) throws -> (socket: Socket, port: Int) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw TestSupportError.system("socket") }
        let listener = Socket(descriptor)
        var address = loopback(port)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, length) == 0 && (isDown || listen(descriptor, 512) == 0)
                    && getsockname(descriptor, address, &length) == 0
            }
        }
        guard isBound else {
            let error = TestSupportError.system("cannot listen on 127.0.0.1")
            listener.close()
            throw error
        }
        return (listener, Int(UInt16(bigEndian: address.sin_port)))
    }

    /// Connects to a port of 127.0.0.1.
    static func connected(to port: Int) throws -> Socket {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw TestSupportError.system("socket") }
        let connection = Socket(descriptor)
        var address = loopback(UInt16(port))
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isConnected else {
            let error = TestSupportError.system("cannot connect to 127.0.0.1")
            connection.close()
            throw error
        }
        return connection
    }

    private static func loopback(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        address.sin_port = port.bigEndian
        return address
    }

    /// Waits for the next connection; `nil` once the socket was interrupted.
    func accept() -> Socket? {
        while true {
            let accepted = Glibc.accept(descriptor, nil, nil)
            if accepted >= 0 {
                _ = fcntl(accepted, F_SETFD, FD_CLOEXEC)
                var one: Int32 = 1
                setsockopt(accepted, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
                return Socket(accepted)
            }
            if errno != EINTR && errno != ECONNABORTED { return nil }
        }
    }

    /// The next bytes, at most `limit`; empty at the peer's end of the stream.
    func receive(_ limit: Int = 64 << 10) throws -> [UInt8] {
        var failed = false
        let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            var received: Int
            repeat { received = recv(descriptor, buffer.baseAddress, limit, 0) } while received < 0 && errno == EINTR
            failed = received < 0
            count = max(received, 0)
        }
        if failed { throw ConnectionEnded() }
        return bytes
    }

    /// Sends all bytes.
    func send(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { buffer in
            var rest = buffer[...]
            while !rest.isEmpty {
                let part = UnsafeRawBufferPointer(rebasing: rest)
                let sent = Glibc.send(descriptor, part.baseAddress, part.count, Int32(MSG_NOSIGNAL))
                if sent < 0 && errno == EINTR { continue }
                guard sent > 0 else { throw ConnectionEnded() }
                rest = rest.dropFirst(sent)
            }
        }
    }

    /// Sends a text's bytes.
    func send(_ text: String) throws { try send(Array(text.utf8)) }

    /// Ends the stream to the peer with a FIN, then reads on until the peer closes too, so that no RST destroys what
    /// was sent.
    func finish() {
        shutdown(descriptor, Int32(SHUT_WR))
        while let bytes = try? receive(), !bytes.isEmpty {}
        close()
    }

    /// Makes `close` send a RST.
    func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    /// Closes once. With unread bytes in the kernel this is a RST, as on any server.
    func close() {
        isClosed.update { isClosed in
            if !isClosed { Glibc.close(descriptor) }
            isClosed = true
        }
    }

    /// Makes blocked calls of the owning thread return, from any thread.
    func interrupt() {
        // Under the lock: a descriptor that was closed may belong to someone else by now.
        isClosed.read { isClosed in
            if !isClosed { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
    }
}
