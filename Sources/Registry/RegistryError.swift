public import HTTP

/// A request that a registry, its token server or its storage did not fulfil.
///
/// The message says what happened, at which host and path, and what to do. Neither it nor any field carries a query,
/// a token or a password.
public struct RegistryError: Error, Sendable, CustomStringConvertible {
    /// What happened.
    public struct Code: Hashable, Sendable {
        private enum Kind {
            case configuration, credentials, unauthorized, denied, notFound, unsupported, rateLimited, unavailable
            case digestMismatch, tooLarge, uploadUnknown, rangeInvalid, rangeIgnored, blobUnknown, protocolViolation
            case network, stopped, cancelled
        }
        private let kind: Kind

        /// A registry URL or a certificate directory that cannot be used as it stands.
        public static let invalidConfiguration = Code(kind: .configuration)
        /// A credentials file that cannot be read, or a credential helper that failed.
        public static let credentialsUnreadable = Code(kind: .credentials)
        /// 401: no credentials, or refused ones.
        public static let unauthorized = Code(kind: .unauthorized)
        /// 403: the credentials do not allow this.
        public static let denied = Code(kind: .denied)
        /// 404: no such repository, manifest or blob.
        public static let notFound = Code(kind: .notFound)
        /// The registry does not implement this (405, 501), or serves something that Rollcall does not copy.
        public static let unsupported = Code(kind: .unsupported)
        /// 429, still after the retries or for longer than they may wait.
        public static let rateLimited = Code(kind: .rateLimited)
        /// 408 or 5xx, still after the retries.
        public static let unavailable = Code(kind: .unavailable)
        /// Content, or what the registry says of it, has another digest than asked for.
        public static let digestMismatch = Code(kind: .digestMismatch)
        /// More bytes than the bound stated, or 413.
        public static let tooLarge = Code(kind: .tooLarge)
        /// The upload session is gone: start a new one.
        public static let uploadUnknown = Code(kind: .uploadUnknown)
        /// 416: the range lies outside the blob, or the chunk does not start where the session ends.
        public static let rangeInvalid = Code(kind: .rangeInvalid)
        /// 200 in answer to a range request: this source serves whole blobs only. None of the body was delivered.
        public static let rangeIgnored = Code(kind: .rangeIgnored)
        /// A manifest names content that the registry does not hold in that repository.
        public static let blobUnknown = Code(kind: .blobUnknown)
        /// An answer that the distribution-spec does not allow, or that we refuse for safety.
        public static let protocolViolation = Code(kind: .protocolViolation)
        /// No complete response.
        public static let network = Code(kind: .network)
        /// The caller's own body sink or source ended the transfer.
        public static let stopped = Code(kind: .stopped)
        /// The task was cancelled, or the HTTP client was shut down.
        public static let cancelled = Code(kind: .cancelled)
    }

    /// One entry of the registry's own error list.
    public struct Detail: Hashable, Sendable {
        /// The code, such as `MANIFEST_UNKNOWN`; upper case.
        public let code: String
        /// The registry's words: one line, at most 300 characters, without queries and tokens.
        public let message: String
    }

    /// What happened.
    public let code: Code
    /// The same in words, and what to do.
    public let message: String
    /// Where: scheme, host and path, without a query.
    public let url: String
    /// The response's status, if there was one.
    public var status: Int?
    /// What the registry itself said; at most eight entries.
    public var details: [Detail] = []
    /// Whether the same operation may succeed later, or when continued from where it stopped.
    public var isTransient = false
    /// How long the server asked to wait.
    public var retryAfter: Duration?
    /// Why there was no complete response.
    public var transport: HTTPError.Code?

    /// - Parameters:
    ///   - code: what happened
    ///   - message: the same in words, and what to do
    ///   - url: where, without a query
    ///   - status: the response's status
    public init(_ code: Code, _ message: String, url: String, status: Int? = nil) {
        self.code = code
        self.message = message
        self.url = url
        self.status = status
    }

    /// Where, and what happened.
    public var description: String { "\(url): \(message)" }
}

extension RegistryError {
    /// A request without a complete response.
    init(_ error: HTTPError) {
        let code: Code =
            switch error.code {
            case .cancelled: .cancelled
            case .responseTooLarge: .tooLarge
            case .refusedBySink, .sourceFailed: .stopped
            case .invalidURL: .invalidConfiguration
            default: .network
            }
        self.init(code, error.message, url: error.url)
        isTransient = error.isTransient
        transport = error.code
    }

    static func cancelled(_ url: HTTPURL) -> RegistryError {
        RegistryError(.cancelled, "cancelled", url: url.redacted)
    }

    static func violation(_ message: String, _ url: HTTPURL, status: Int? = nil) -> RegistryError {
        RegistryError(.protocolViolation, message, url: url.redacted, status: status)
    }
}
