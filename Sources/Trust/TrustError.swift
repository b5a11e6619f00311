/// A key or a signed document that cannot be used.
///
/// That nobody known signed a document is an answer, not an error: see `Envelope.signer(among:)`.
public struct TrustError: Error, Sendable, CustomStringConvertible {
    /// What cannot be used.
    public struct Code: Hashable, Sendable {
        private enum Kind { case key, file, envelope, cryptography }
        private let kind: Kind

        /// Text or bytes that are no Ed25519 key.
        public static let invalidKey = Code(kind: .key)
        /// A key's file that cannot be read or written, or that others may read.
        public static let keyFile = Code(kind: .file)
        /// A document that claims to be a signed envelope and is none.
        public static let invalidEnvelope = Code(kind: .envelope)
        /// libcrypto refused: no memory, or a provider without Ed25519.
        public static let cryptography = Code(kind: .cryptography)
    }

    /// What cannot be used.
    public let code: Code
    /// What is wrong, and what to do next. Never a part of a private key.
    public let message: String
    /// The file that it was found in, where there is one.
    public let origin: String?

    init(_ code: Code, _ message: String, in origin: String? = nil) {
        self.code = code
        self.message = message
        self.origin = origin
    }

    public var description: String { origin.map { "\($0): \(message)" } ?? message }

    static func cryptography(doing what: String) -> TrustError {
        TrustError(
            .cryptography,
            "libcrypto cannot \(what): see whether its configuration (openssl.cnf) allows Ed25519, and whether memory is left"
        )
    }
}
