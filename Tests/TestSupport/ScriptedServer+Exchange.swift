import OCI

extension ScriptedServer {
    /// One request being answered. Used on its connection's thread only; its calls block.
    public final class Exchange {
        /// The request's head; its body so far is in `ScriptedServer.requests`.
        public let request: Request
        /// The server it came to.
        public let server: ScriptedServer

        private let socket: Socket
        private let input: ConnectionInput
        private var reader: BodyReader
        private var hash: DigestComputation? = DigestComputation(.sha256)
        private var faults: [Fault] = []
        private var awaitsContinue: Bool

        init(_ server: ScriptedServer, _ request: Request, _ socket: Socket, _ input: ConnectionInput) {
            self.server = server
            self.request = request
            self.socket = socket
            self.input = input
            reader = BodyReader(request)
            awaitsContinue = request.header("Expect")?.lowercased() == "100-continue"
        }

        /// Reads the rest of the request's body and returns all of it; at most 64 MiB.
        public func readBody() throws -> [UInt8] {
            var body = server.state.read { $0.requests[request.number].body }
            if reader.received > body.count { throw TestSupportError("the body's beginning was not kept") }
            while let piece = try nextPiece(Int64.max) {
                body += piece
                if body.count > 64 << 20 { throw TestSupportError("a body over 64 MiB cannot be collected") }
            }
            return body
        }

        /// Reads on until this many bytes of the request's body have come, or its end.
        ///
        /// - Returns: the body bytes received so far
        @discardableResult
        public func readBody(until count: Int64) throws -> Int64 {
            while reader.received < count, try nextPiece(count) != nil {}
            return reader.received
        }

        /// The next bytes of the request's body, at most 256 KiB; empty at its end.
        public func readPiece() throws -> [UInt8] { try nextPiece(Int64.max) ?? [] }

        /// Waits for the test to open the gate.
        public func wait(_ gate: Gate) throws { try server.wait(gate) }

        /// The next bytes, not beyond `end`, nor beyond the place of a fault; `nil` at the body's end.
        private func nextPiece(_ end: Int64) throws -> [UInt8]? {
            if awaitsContinue {
                awaitsContinue = false
                try socket.send("HTTP/1.1 100 Continue\r\n\r\n")
            }
            var end = end
            for case .requestBody(let offset) in faults.map(\.stage) where offset > reader.received {
                end = min(end, offset)
            }
            guard let piece = try reader.next(input, limit: end - reader.received) else {
                let digest = hash.take()?.finish()
                if let digest { server.record(request.number) { $0.bodyDigest = digest } }
                return nil
            }
            piece.withUnsafeBytes { hash?.update($0) }
            server.record(request.number) { request in
                request.bodyLength += Int64(piece.count)
                request.body += piece.prefix((1 << 20) - request.body.count)
            }
            try fail(at: .requestBody(reader.received))
            return piece
        }

        /// Does what the script wants at this stage.
        func fail(at stage: Fault.Stage) throws {
            for fault in faults where fault.stage == stage {
                switch fault.action {
                case .reset: throw BrokenOff.reset
                case .close: throw BrokenOff.close
                case .stall(let gate): try wait(gate)
                }
            }
        }

        /// Answers the request.
        ///
        /// - Returns: whether the connection can carry another one
        func run() -> Bool {
            var isReusable = false
            let outcome: Outcome
            do {
                isReusable = try answer()
                outcome = .answered
            } catch let end as BrokenOff {
                outcome = .brokenOff
                // Recorded before the client can see it, so that a test may look at once.
                server.record(request.number) { $0.outcome = outcome }
                switch end {
                case .reset: socket.reset()
                case .close: socket.finish()
                }
            } catch {
                outcome = .connectionEnded
            }
            server.record(request.number) { $0.outcome = outcome }
            if outcome == .answered && !isReusable { socket.finish() }
            return isReusable
        }

        private func answer() throws -> Bool {
            var response: Response
            do {
                response = try server.state.current.handler(self)
            } catch let error where !(error is ConnectionEnded || error is BrokenOff) {
                response = Response(500, ["Content-Type": "text/plain"], text: "the script failed: \(error)")
            }
            faults = response.faults
            try fail(at: .requestHead)
            try fail(at: .requestBody(reader.received))
            if response.bodyReading == .beforeAnswer { try readBody(until: .max) }
            try fail(at: .answer)
            for status in response.interim { try socket.send("HTTP/1.1 \(status) Interim\r\n\r\n") }
            let writer = BodyWriter(self, socket, response, isHead: request.method == "HEAD")
            try writer.writeAnswer()
            if response.bodyReading == .never {
                server.record(request.number) { $0.outcome = .answered }
                socket.close()
                return false
            }
            try readBody(until: .max)
            return !writer.endsConnection && request.header("Connection")?.lowercased() != "close"
        }
    }

    /// The script ends the connection.
    enum BrokenOff: Error { case reset, close }
}

/// A connection's incoming bytes.
final class ConnectionInput {
    private let socket: Socket
    private var pending: ArraySlice<UInt8> = []

    init(_ socket: Socket) { self.socket = socket }

    /// The next head up to its empty line, at most 64 KiB; `nil` at the stream's end.
    func head() throws -> [UInt8]? {
        var head: [UInt8] = []
        while head.count < 64 << 10 {
            guard let byte = try byte() else { return nil }
            head.append(byte)
            // A TLS hello has no line's end to wait for: clients try HTTPS first and need an answer.
            if head == [0x16] { return head }
            if byte == UInt8(ascii: "\n"), head.suffix(4).elementsEqual("\r\n\r\n".utf8) { return head.dropLast(2) }
        }
        throw ConnectionEnded()
    }

    /// A line without its end, for chunk sizes.
    func line() throws -> String {
        var line: [UInt8] = []
        while line.count < 4096, let byte = try byte() {
            if byte == UInt8(ascii: "\n") { return String(decoding: line.filter { $0 != 13 }, as: UTF8.self) }
            line.append(byte)
        }
        throw ConnectionEnded()
    }

    /// At least one byte, at most `limit` of them.
    func bytes(_ limit: Int) throws -> [UInt8] {
        try fill()
        let piece = Array(pending.prefix(limit))
        guard !piece.isEmpty else { throw ConnectionEnded() }
        pending = pending.dropFirst(piece.count)
        return piece
    }

    private func byte() throws -> UInt8? {
        try fill()
        return pending.popFirst()
    }

    private func fill() throws {
        if pending.isEmpty { pending = try socket.receive()[...] }
    }
}

/// A request body's framing.
struct BodyReader {
    /// Bytes of the body that have come.
    private(set) var received: Int64 = 0
    private var isChunked: Bool
    /// Bytes left of the body, or of the chunk.
    private var left: Int64

    init(_ request: ScriptedServer.Request) {
        isChunked = request.isChunked
        left = isChunked ? 0 : request.contentLength ?? 0
    }

    /// At least one byte, at most `limit`; `nil` at the body's end.
    mutating func next(_ input: ConnectionInput, limit: Int64) throws -> [UInt8]? {
        if isChunked, left == 0 {
            let line = try input.line()
            guard let size = Int64(line.prefix { $0 != ";" }, radix: 16), size >= 0 else { throw ConnectionEnded() }
            if size == 0 {
                while try !input.line().isEmpty {}
                isChunked = false
            }
            left = size
        }
        guard left > 0 else { return nil }
        let piece = try input.bytes(Int(min(left, limit, 256 << 10)))
        left -= Int64(piece.count)
        received += Int64(piece.count)
        if isChunked, left == 0 { _ = try input.line() }
        return piece
    }
}
