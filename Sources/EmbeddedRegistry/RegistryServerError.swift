/// What keeps an embedded registry from serving.
public struct RegistryServerError: Error, Sendable, CustomStringConvertible {
    /// What it is.
    public struct Code: Hashable, Sendable {
        private enum Kind { case address }
        private let kind: Kind

        /// The address cannot be listened on.
        public static let cannotListen = Code(kind: .address)
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
