/// A request method.
public enum HTTPMethod: String, Sendable {
    case get = "GET"
    case head = "HEAD"
    case post = "POST"
    case put = "PUT"
    case patch = "PATCH"
    case delete = "DELETE"
}

/// One request. Redirects are not followed and nothing is retried here: policy sits above.
public struct HTTPRequest: Sendable {
    /// The method.
    public var method: HTTPMethod
    /// Where to.
    public var url: HTTPURL
    /// The header fields; `Content-Length` follows from the body.
    public var headers: HTTPHeaders
    /// What is sent.
    public var body: HTTPRequestBody
    /// How the connection is secured.
    public var tls: TLSConfiguration
    /// The proxy's URL; `nil` takes `https_proxy`, `http_proxy` and `no_proxy` from the environment, `""` uses none.
    public var proxy: String?
    /// How long to wait for what.
    public var timeouts: Timeouts
    /// The most bytes of a response body that are collected in memory.
    public var responseLimit: Int
    /// Whether the request opens a connection of its own, which others may use afterwards.
    ///
    /// libcurl sends a request a second time, unasked, where a connection that it reuses ends before the answer's first byte.
    /// Whoever must know how often a request was sent says `true`.
    public var opensConnection: Bool
    /// How many bytes are read from the connection at once, 1 KiB to 256 KiB. A sink gets them in pieces of at most 16 KiB.
    public var readSize: Int
    /// Bytes that the kernel may receive ahead of what is read, where the request opens a connection; `nil` for what it thinks
    /// right, which grows to megabytes. Over a distance, the connection brings no more than that in a round trip.
    public var receiveBuffer: Int?

    /// - Parameters:
    ///   - method: the method
    ///   - url: where to
    ///   - headers: the header fields
    ///   - body: what is sent
    ///   - responseLimit: the most bytes of a body that are collected in memory; 4 MiB unless said
    public init(
        _ method: HTTPMethod, _ url: HTTPURL, headers: HTTPHeaders = [:], body: HTTPRequestBody = .none,
        responseLimit: Int = 4 << 20
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.tls = TLSConfiguration()
        self.proxy = nil
        self.timeouts = Timeouts()
        self.responseLimit = responseLimit
        self.opensConnection = false
        self.readSize = 256 << 10
        self.receiveBuffer = nil
    }
}

/// What a request sends.
public enum HTTPRequestBody: Sendable {
    /// No body; POST, PUT and PATCH say `Content-Length: 0`.
    case none
    /// Bytes that are in memory.
    case bytes([UInt8])
    /// `length` bytes, read as the connection takes them.
    case source(any BodySource, length: Int64)
}

/// How a connection is secured. Requests with different values never share a connection.
public struct TLSConfiguration: Sendable, Hashable {
    /// A PEM file of certificate authorities to trust instead of the system's.
    public var caFile: String?
    /// A PEM file with the client's certificate chain.
    public var certificateFile: String?
    /// A PEM file with the client's private key.
    public var keyFile: String?
    /// Trust any certificate: only where a host is named as such.
    public var skipsVerification: Bool

    /// - Parameters:
    ///   - caFile: a PEM file of certificate authorities to trust instead of the system's
    ///   - certificateFile: a PEM file with the client's certificate chain
    ///   - keyFile: a PEM file with the client's private key
    ///   - skipsVerification: trust any certificate
    public init(
        caFile: String? = nil, certificateFile: String? = nil, keyFile: String? = nil, skipsVerification: Bool = false
    ) {
        self.caFile = caFile
        self.certificateFile = certificateFile
        self.keyFile = keyFile
        self.skipsVerification = skipsVerification
    }
}

/// How long to wait for what. A blob has no total bound: a thin link is slow, not broken.
public struct Timeouts: Sendable, Hashable {
    /// Seconds for name resolution, TCP and TLS together.
    public var connect: Int
    /// Seconds during which fewer than `stallBytesPerSecond` arrive or leave on average; paused transfers do not count.
    public var stall: Int
    /// The rate in bytes a second below which a transfer counts as stalled.
    public var stallBytesPerSecond: Int
    /// Seconds for the whole request, or `nil`.
    public var total: Int?

    /// - Parameters:
    ///   - connect: seconds for name resolution, TCP and TLS together
    ///   - stall: seconds of near silence after which a transfer is given up
    ///   - stallBytesPerSecond: the rate below which it counts as silence
    ///   - total: seconds for the whole request, or `nil`
    public init(connect: Int = 20, stall: Int = 60, stallBytesPerSecond: Int = 256, total: Int? = nil) {
        self.connect = connect
        self.stall = stall
        self.stallBytesPerSecond = stallBytesPerSecond
        self.total = total
    }
}

/// Where a request's body comes from. Called on the client's event-loop thread: must not block.
public protocol BodySource: AnyObject, Sendable {
    /// Called once before the first byte, with the means to continue after `.pause`.
    func begin(_ control: TransferControl)

    /// Fills the buffer with the next bytes.
    func read(into buffer: UnsafeMutableRawBufferPointer) -> BodySourceAnswer
}

/// A body source's answer.
public enum BodySourceAnswer: Sendable {
    /// This many bytes, at least one, are in the buffer.
    case bytes(Int)
    /// Nothing yet: `TransferControl.resume()` says when to ask again.
    case pause
    /// Stop; the request fails with `HTTPError.sourceFailed`.
    case fail
}

/// Where a response's body goes. Called on the client's event-loop thread: must not block.
public protocol BodySink: AnyObject, Sendable {
    /// Called once when the response's head is complete, before its body.
    func begin(_ head: HTTPResponseHead, _ control: TransferControl) -> BodyDisposition

    /// Takes the next bytes, at most 16 KiB at a time. With `.pause` none of them are taken, and they come again.
    func receive(_ bytes: UnsafeRawBufferPointer) -> BodySinkAnswer
}

/// What becomes of a response's body.
public enum BodyDisposition: Sendable {
    /// Bytes go to the sink.
    case stream
    /// Bytes are collected into `HTTPResponse.body`, up to `responseLimit`; the rest is dropped with the connection.
    case collect
    /// The transfer ends here, without an error; the response has no body.
    case abandon
}

/// A body sink's answer.
public enum BodySinkAnswer: Sendable {
    /// All bytes are taken.
    case consumed
    /// None are taken: `TransferControl.resume()` says when to offer them again.
    case pause
    /// Stop; the request fails with `HTTPError.refusedBySink`.
    case refuse
}

/// The means to continue a paused transfer, from any thread. Continuing one that is not paused or has ended does nothing.
public struct TransferControl: Sendable {
    let resumeTransfer: @Sendable () -> Void

    /// Offers bytes to the sink, or asks the source for bytes, again.
    public func resume() { resumeTransfer() }
}
