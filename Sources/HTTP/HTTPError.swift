/// A request that got no complete response.
///
/// Carries host and path, never a query, a header or a body: presigned URLs and tokens stay out of messages.
public struct HTTPError: Error, Sendable, CustomStringConvertible {
    /// What happened.
    public struct Code: Hashable, Sendable {
        private enum Kind {
            case url, resolve, connect, proxy, tls, certificate, timeout, reset, truncated, tooLarge, refused, source
            case cancelled, other
        }
        private let kind: Kind

        /// Text that is not an `http` or `https` URL, or one that carries a user name or password.
        public static let invalidURL = Code(kind: .url)
        /// The host's name has no address.
        public static let cannotResolve = Code(kind: .resolve)
        /// Nothing listens there, or no route leads there.
        public static let cannotConnect = Code(kind: .connect)
        /// The proxy is unreachable or refuses.
        public static let proxyFailed = Code(kind: .proxy)
        /// The TLS handshake failed for another reason than trust.
        public static let tlsFailed = Code(kind: .tls)
        /// The server's certificate is not trusted, or the local certificate files cannot be read.
        public static let untrustedCertificate = Code(kind: .certificate)
        /// No connection, no bytes or no end within the bounds of `Timeouts`.
        public static let timedOut = Code(kind: .timeout)
        /// The connection ended before the response did.
        public static let connectionReset = Code(kind: .reset)
        /// The body ended before its `Content-Length`.
        public static let truncatedBody = Code(kind: .truncated)
        /// A collected body over the request's `responseLimit`.
        public static let responseTooLarge = Code(kind: .tooLarge)
        /// The sink refused the response or its bytes.
        public static let refusedBySink = Code(kind: .refused)
        /// The body source failed.
        public static let sourceFailed = Code(kind: .source)
        /// The task was cancelled, or the client was shut down.
        public static let cancelled = Code(kind: .cancelled)
        /// Any other failure that libcurl reports.
        public static let other = Code(kind: .other)
    }

    /// What happened.
    public let code: Code
    /// What happened in words, and what to do where that is known.
    public let message: String
    /// The request's URL without its query.
    public let url: String

    /// - Parameters:
    ///   - code: what happened
    ///   - message: the same in words
    ///   - url: the request's URL, without its query
    public init(_ code: Code, _ message: String, url: String) {
        self.code = code
        self.message = message
        self.url = url
    }

    public var description: String { "\(url): \(message)" }

    /// Whether the same request may succeed when it is sent again: the network's faults, not ours and not a policy's.
    public var isTransient: Bool {
        switch code {
        case .cannotResolve, .cannotConnect, .proxyFailed, .tlsFailed, .timedOut, .connectionReset, .truncatedBody: true
        default: false
        }
    }
}
