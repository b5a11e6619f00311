/// The head of a response.
public struct HTTPResponseHead: Sendable {
    /// The status code.
    public let status: Int
    /// The header fields in order.
    public let headers: HTTPHeaders
    /// Seconds of the TCP handshake, which is one round trip to the host whatever the server is busy with; `nil` on a
    /// connection that was open before.
    public let handshake: Double?

    /// - Parameters:
    ///   - status: the status code
    ///   - headers: the header fields
    ///   - handshake: seconds of the TCP handshake, on a new connection
    public init(status: Int, headers: HTTPHeaders, handshake: Double? = nil) {
        self.status = status
        self.headers = headers
        self.handshake = handshake
    }

    /// The `Content-Length`, in bytes.
    public var contentLength: Int64? {
        headers["Content-Length"].flatMap { Int64($0) }.flatMap { $0 >= 0 ? $0 : nil }
    }
}

/// A complete response.
public struct HTTPResponse: Sendable {
    /// Status and header fields.
    public let head: HTTPResponseHead
    /// The collected body; empty where a sink took it.
    public let body: [UInt8]
    /// Body bytes received, collected or streamed.
    public let receivedBytes: Int64
    /// Whether a new connection was opened for it.
    public let openedConnection: Bool

    /// The status code.
    public var status: Int { head.status }
    /// The header fields in order.
    public var headers: HTTPHeaders { head.headers }
}
