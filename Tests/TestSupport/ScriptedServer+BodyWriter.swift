extension ScriptedServer {
    /// Sends one answer's head and body, with the faults on the way. Used on its connection's thread only.
    public final class BodyWriter {
        private let exchange: Exchange
        private let socket: Socket
        private let response: Response
        private let isHead: Bool
        private var written: Int64 = 0

        init(_ exchange: Exchange, _ socket: Socket, _ response: Response, isHead: Bool) {
            self.exchange = exchange
            self.socket = socket
            self.response = response
            self.isHead = isHead
        }

        /// Sends the next bytes of the body.
        public func write(_ bytes: [UInt8]) throws {
            guard !isHead else { return }
            var rest = bytes[...]
            while !rest.isEmpty {
                let piece = rest.prefix(Int(min(nextStop - written, Int64(rest.count))))
                rest = rest.dropFirst(piece.count)
                try send(piece)
                written += Int64(piece.count)
                try exchange.fail(at: .answerBody(written))
            }
        }

        /// Waits for the test to open the gate.
        public func wait(_ gate: Gate) throws { try exchange.wait(gate) }

        /// Where the next fault lies.
        private var nextStop: Int64 {
            response.faults.reduce(Int64.max) { stop, fault in
                if case .answerBody(let offset) = fault.stage, offset > written { min(stop, offset) } else { stop }
            }
        }

        private var isChunked: Bool { if case .chunked = response.framing { true } else { false } }

        /// Whether nothing can follow on this connection.
        var endsConnection: Bool {
            if response.closes || response.status == 0 || response.bodyReading == .never { return true }
            switch response.framing {
            case .falseContentLength, .untilClose: return !isHead
            case .contentLength, .chunked, .none: return false
            }
        }

        func writeAnswer() throws {
            if response.status == 0 {
                if case .bytes(let bytes) = response.body { try socket.send(bytes) }
                return
            }
            exchange.server.record(exchange.request.number) { $0.status = response.status }
            try socket.send(head)
            try exchange.fail(at: .answerHead)
            try exchange.fail(at: .answerBody(0))
            if case .none = response.framing { return }
            switch response.body {
            case .bytes(let bytes):
                try write(bytes)
            case .generated(let content, let range):
                for start in stride(from: range.lowerBound, to: range.upperBound, by: 256 << 10) where !isHead {
                    try write(content.bytes(start..<min(start + (256 << 10), range.upperBound)))
                }
            case .written(_, let script):
                try script(self)
            }
            if isChunked, !isHead { try socket.send("0\r\n\r\n") }
        }

        private var head: String {
            var head = "HTTP/1.1 \(response.status) Scripted\r\n"
            for header in response.headers { head += "\(header.name): \(header.value)\r\n" }
            switch response.framing {
            case .contentLength:
                // RFC 9110 section 8.6: no Content-Length with 204.
                if response.status != 204 && response.header("Content-Length") == nil {
                    head += "Content-Length: \(response.body.length)\r\n"
                }
            case .falseContentLength(let length): head += "Content-Length: \(length)\r\n"
            case .chunked: head += "Transfer-Encoding: chunked\r\n"
            case .untilClose, .none: break
            }
            if endsConnection { head += "Connection: close\r\n" }
            return head + "\r\n"
        }

        private func send(_ piece: ArraySlice<UInt8>) throws {
            var bytes = Array(piece)
            if let offset = response.corruptedByte, (written..<written + Int64(bytes.count)).contains(offset) {
                bytes[Int(offset - written)] ^= 0xff
            }
            if isChunked {
                bytes = Array("\(String(bytes.count, radix: 16))\r\n".utf8) + bytes + Array("\r\n".utf8)
            }
            try socket.send(bytes)
        }
    }
}
