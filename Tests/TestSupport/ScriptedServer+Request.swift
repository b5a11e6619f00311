public import OCI

extension ScriptedServer {
    /// One request as it came over the wire, and what became of it.
    public struct Request: Sendable {
        /// The request's number at this server, from 0.
        public let number: Int
        /// The connection's number at this server, from 0.
        public let connection: Int
        /// The request's number on its connection, from 0: above 0 means the connection was reused.
        public let numberOnConnection: Int
        /// The method.
        public let method: String
        /// The request target, byte for byte.
        public let target: String
        /// The header fields in the order they came, names as they were spelled.
        public let headers: [Header]

        /// The body's bytes so far: the first mebibyte of them.
        public internal(set) var body: [UInt8] = []
        /// The body bytes received so far.
        public internal(set) var bodyLength: Int64 = 0
        /// SHA-256 of the whole body; `nil` while it is incomplete.
        public internal(set) var bodyDigest: Digest?
        /// The status sent, once its head is on the wire.
        public internal(set) var status: Int?
        /// How the exchange ended; `nil` while it runs.
        public internal(set) var outcome: Outcome?

        /// The target before `?`.
        public var path: String { String(target.prefix { $0 != "?" }) }

        /// The target after `?`, byte for byte; `nil` without one.
        public var query: String? {
            target.firstIndex(of: "?").map { String(target[target.index(after: $0)...]) }
        }

        /// The first value of a header field, its name in any case.
        public func header(_ name: String) -> String? { values(name).first }

        /// Every value of a header field, its name in any case.
        public func values(_ name: String) -> [String] {
            headers.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
        }

        /// The value of `name=value` in the query, percent-decoded.
        public func queryValue(_ name: String) -> String? {
            for item in (query ?? "").split(separator: "&") where item.hasPrefix("\(name)=") {
                return String(item.dropFirst(name.count + 1)).percentDecoded
            }
            return nil
        }
    }

    /// A header field.
    public struct Header: Sendable, Hashable {
        /// The name as it was spelled.
        public let name: String
        /// The value without surrounding blanks.
        public let value: String

        /// - Parameters:
        ///   - name: the name as it is spelled on the wire
        ///   - value: the value
        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// How an exchange ended.
    public enum Outcome: Sendable {
        /// The answer was sent whole.
        case answered
        /// The server broke it off as its script said.
        case brokenOff
        /// The client went away first, or the server was stopped.
        case connectionEnded
    }
}

extension ScriptedServer.Request {
    /// Reads a head without its final empty line; `nil` where it is malformed.
    init?(head: [UInt8], number: Int, connection: Int, numberOnConnection: Int) {
        // A `Character` may be "\r\n", so lines are split as bytes.
        let lines = head.split(separator: UInt8(ascii: "\n")).map { line in
            String(decoding: line.last == UInt8(ascii: "\r") ? line.dropLast() : line, as: UTF8.self)
        }
        guard let words = lines.first?.split(separator: " "), words.count == 3, words[2] == "HTTP/1.1" else {
            return nil
        }
        self.number = number
        self.connection = connection
        self.numberOnConnection = numberOnConnection
        method = String(words[0])
        target = String(words[1])
        var headers: [ScriptedServer.Header] = []
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { return nil }
            let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            headers.append(.init(String(line[..<colon]), String(value)))
        }
        self.headers = headers
    }

    /// The `Content-Length` in bytes; `nil` without one.
    var contentLength: Int64? { header("Content-Length").flatMap { Int64($0) } }

    var isChunked: Bool { header("Transfer-Encoding")?.lowercased() == "chunked" }
}

extension String {
    /// With `%XX` resolved.
    var percentDecoded: String {
        var decoded: [UInt8] = []
        var rest = utf8[...]
        while let byte = rest.popFirst() {
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            if byte == UInt8(ascii: "%"), digits.utf8.count == 2, let value = UInt8(digits, radix: 16) {
                decoded.append(value)
                rest = rest.dropFirst(2)
            } else {
                decoded.append(byte)
            }
        }
        return String(decoding: decoded, as: UTF8.self)
    }
}
