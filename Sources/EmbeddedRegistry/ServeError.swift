/// What keeps an embedded registry from serving.
public struct ServeError: Error, Sendable, CustomStringConvertible {
    /// What it is.
    public struct Code: Hashable, Sendable {
        private enum Kind { case users, identity, address }
        private let kind: Kind

        /// The file of the users cannot be read.
        public static let users = Code(kind: .users)
        /// The certificate or the key cannot be read, or do not fit each other.
        public static let identity = Code(kind: .identity)
        /// The address cannot be listened on.
        public static let address = Code(kind: .address)
    }

    /// What it is.
    public let code: Code
    /// What happened, where, and what to do.
    public let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
