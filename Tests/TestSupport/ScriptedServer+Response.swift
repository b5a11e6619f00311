extension ScriptedServer {
    /// An answer and the script of its delivery.
    public struct Response: Sendable {
        /// The status code.
        public var status: Int
        /// The header fields in order; framing fields are added by `framing`.
        public var headers: [Header]
        /// The body.
        public var body: Body
        /// How the body's end is told.
        public var framing: Framing = .contentLength
        /// When the rest of the request's body is read.
        public var bodyReading: BodyReading = .beforeAnswer
        /// Interim heads (1xx) sent before the answer.
        public var interim: [Int] = []
        /// What goes wrong on the way.
        public var faults: [Fault] = []
        /// The offset of a body byte whose bits are inverted on the way; `nil` leaves the body as it is.
        public var corruptedByte: Int64?
        /// Whether the server says `Connection: close` and closes after the answer.
        public var closes = false

        /// - Parameters:
        ///   - status: the status code
        ///   - headers: the header fields in order
        ///   - body: the body
        public init(_ status: Int, headers: [Header] = [], body: Body = .bytes([])) {
            self.status = status
            self.headers = headers
            self.body = body
        }

        /// - Parameters:
        ///   - status: the status code
        ///   - headers: names and values, in order
        ///   - text: the body
        public init(_ status: Int, _ headers: KeyValuePairs<String, String>, text: String = "") {
            self.init(status, headers: headers.map { Header($0.key, $0.value) }, body: .bytes(Array(text.utf8)))
        }

        /// A redirect; 307 unless said.
        public static func redirect(to location: String, status: Int = 307) -> Response {
            Response(status, ["Location": location])
        }

        /// Bytes instead of a response, then the end of the stream: for malformed heads.
        public static func raw(_ text: String) -> Response {
            var response = Response(0)
            response.body = .bytes(Array(text.utf8))
            return response
        }

        /// This answer with a fault added.
        ///
        /// - Parameters:
        ///   - action: what goes wrong
        ///   - stage: when
        public func failing(_ action: Fault.Action, _ stage: Fault.Stage) -> Response {
            var response = self
            response.faults.append(Fault(action: action, stage: stage))
            return response
        }

        /// The first value of a header field, its name in any case.
        public func header(_ name: String) -> String? {
            headers.first { $0.name.lowercased() == name.lowercased() }?.value
        }

        /// Replaces a header field, or removes it with `nil`.
        public mutating func setHeader(_ name: String, _ value: String?) {
            headers.removeAll { $0.name.lowercased() == name.lowercased() }
            if let value { headers.append(Header(name, value)) }
        }
    }

    /// An answer's body.
    public enum Body: Sendable {
        /// Bytes that are in memory.
        case bytes([UInt8])
        /// A range of generated content.
        case generated(GeneratedBytes, Range<Int64>)
        /// Written piece by piece as the script goes; the length is what `Content-Length` says.
        case written(length: Int64, @Sendable (BodyWriter) throws -> Void)

        /// The length in bytes.
        public var length: Int64 {
            switch self {
            case .bytes(let bytes): Int64(bytes.count)
            case .generated(_, let range): range.upperBound - range.lowerBound
            case .written(let length, _): length
            }
        }
    }

    /// How the end of an answer's body is told.
    public enum Framing: Sendable {
        /// The true `Content-Length`.
        case contentLength
        /// A `Content-Length` that lies; the connection closes where it promised more than there is.
        case falseContentLength(Int64)
        /// `Transfer-Encoding: chunked`.
        case chunked
        /// The end of the connection.
        case untilClose
        /// No framing field at all, and no body: 204, 304 and answers to HEAD without a length.
        case none
    }

    /// When the rest of a request's body is read, where the handler has not read it.
    public enum BodyReading: Sendable {
        /// Before the answer is sent.
        case beforeAnswer
        /// After the answer is sent; the connection stays usable.
        case afterAnswer
        /// Not at all: the connection is closed after the answer, as servers do that refuse an upload.
        case never
    }

    /// One thing that goes wrong at one moment.
    public struct Fault: Sendable {
        /// What goes wrong.
        public enum Action: Sendable {
            /// The connection is reset (RST).
            case reset
            /// The stream ends (FIN).
            case close
            /// Nothing goes on until the gate opens.
            case stall(Gate)
        }

        /// A moment of an exchange.
        public enum Stage: Sendable, Equatable {
            /// After the request's head, before its body is read.
            case requestHead
            /// After this many bytes of the request's body.
            case requestBody(Int64)
            /// Before the answer's first byte, the request's body having been read as `bodyReading` says.
            case answer
            /// After the answer's head.
            case answerHead
            /// After this many bytes of the answer's body.
            case answerBody(Int64)
        }

        /// What goes wrong.
        public let action: Action
        /// When.
        public let stage: Stage
    }

    /// What happens to a new connection.
    public enum Welcome: Sendable {
        /// Its requests are answered.
        case serve
        /// It is reset (RST) before any byte is read.
        case reset
        /// It is closed (FIN) before any byte is read.
        case close
        /// Nothing is read from it until the gate opens.
        case stall(Gate)
    }
}
