/// An operation on the central object store that has no answer.
///
/// A failed precondition is an answer (`PutOutcome.conflict`), an absent object too: neither is an error. Whoever catches
/// this knows nothing about the object, so a gate that catches it stays closed.
public struct ObjectStoreError: Error, Sendable, CustomStringConvertible {
    /// What happened.
    public struct Code: Hashable, Sendable {
        private enum Kind {
            case location, key, root, permission, credentials, clock, unsupported, full, size, busy, outcome
            case unavailable
        }
        private let kind: Kind

        /// Text that is not the URL of an object store that this version reads.
        public static let invalidLocation = Code(kind: .location)
        /// Text that is not an object key.
        public static let invalidKey = Code(kind: .key)
        /// The store's root directory or bucket does not exist, or is not a directory.
        public static let missingRoot = Code(kind: .root)
        /// The operating system or the server denies access.
        public static let permissionDenied = Code(kind: .permission)
        /// No credentials for the store were found.
        public static let noCredentials = Code(kind: .credentials)
        /// This machine's clock and the server's are too far apart for requests to be accepted.
        public static let clockSkewed = Code(kind: .clock)
        /// The store does not do what this needs: its conditional writes do not exclude each other.
        public static let unsupportedStore = Code(kind: .unsupported)
        /// No space or quota left.
        public static let full = Code(kind: .full)
        /// An object or a listing over its bound.
        public static let tooLarge = Code(kind: .size)
        /// Another process kept the store locked for longer than the lock's patience.
        public static let busy = Code(kind: .busy)
        /// A write with a condition may have been carried out, or not: its reply was lost, and others have written since.
        public static let outcomeUnknown = Code(kind: .outcome)
        /// Any other failure to reach or to read the store.
        public static let unavailable = Code(kind: .unavailable)
    }

    /// What happened.
    public let code: Code
    /// What happened in words, and what to do next.
    public let message: String
    /// The path, key or URL that it happened at.
    public let location: String

    /// - Parameters:
    ///   - code: what happened
    ///   - message: the same in words, with the next step
    ///   - location: the path, key or URL that it happened at
    public init(_ code: Code, _ message: String, at location: String) {
        self.code = code
        self.message = message
        self.location = location
    }

    public var description: String { "\(location): \(message)" }
}
