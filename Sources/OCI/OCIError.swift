/// A value that does not follow an OCI grammar or schema.
///
/// The code is opaque so that new cases do not break callers; the message says what was wrong with which input.
public struct OCIError: Error, Sendable, CustomStringConvertible {
    /// What kind of value was refused.
    public struct Code: Hashable, Sendable {
        private enum Kind { case digest, repository, tag, reference, mediaType, manifest }
        private let kind: Kind

        /// A digest outside `algorithm:encoded` or with the wrong length for its algorithm.
        public static let invalidDigest = Code(kind: .digest)
        /// A repository name outside the distribution-spec's grammar.
        public static let invalidRepository = Code(kind: .repository)
        /// A tag outside the distribution-spec's grammar.
        public static let invalidTag = Code(kind: .tag)
        /// An image reference that names no registry, or ends in neither tag nor digest.
        public static let invalidReference = Code(kind: .reference)
        /// A media type that Rollcall does not copy, such as Docker schema 1.
        public static let unsupportedMediaType = Code(kind: .mediaType)
        /// Manifest bytes that are not a manifest or an index.
        public static let invalidManifest = Code(kind: .manifest)
    }

    /// What kind of value was refused.
    public let code: Code
    /// What was wrong, with the offending value.
    public let message: String

    /// - Parameters:
    ///   - code: what kind of value was refused
    ///   - message: what was wrong, with the offending value
    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
