import Registry

/// A transfer that did not reach its end.
public struct TransferError: Error, Sendable, CustomStringConvertible {
    /// What kept it from its end.
    public struct Code: Hashable, Sendable {
        private enum Kind {
            case source, destination, unreadable, digest, spool, spoolFull, dependency, paused, cancelled
        }
        private let kind: Kind

        /// No source delivered the content.
        public static let sourceFailed = Code(kind: .source)
        /// The destination did not take the content.
        public static let destinationFailed = Code(kind: .destination)
        /// The destination fails on this one content (HTTP 500, again and again): it may have it, and cannot read it.
        public static let destinationUnreadable = Code(kind: .unreadable)
        /// What arrived does not hash to the digest asked for.
        public static let digestMismatch = Code(kind: .digest)
        /// The spool directory cannot be written or read.
        public static let spoolFailed = Code(kind: .spool)
        /// The disk, or the bound on spooled bytes, has no room for the blob.
        public static let spoolFull = Code(kind: .spoolFull)
        /// A manifest was held back because content that it names is not at the destination.
        public static let missingDependency = Code(kind: .dependency)
        /// No transfer window is open, or a quota is used up: a later pass goes on.
        public static let paused = Code(kind: .paused)
        /// The pass was stopped.
        public static let cancelled = Code(kind: .cancelled)
    }

    /// What kept it from its end.
    public let code: Code
    /// What happened, at which host or path, and what to do.
    public let message: String

    /// - Parameters:
    ///   - code: what kept it from its end
    ///   - message: what happened, at which host or path, and what to do
    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}

extension TransferError {
    /// Content that no source delivers; why is told of each. Which content is for the caller to say.
    init(noneDelivers sources: [ActiveSource], refusals: (_ source: String) -> String?) {
        self.init(
            .sourceFailed,
            sources.map { source in
                let reason = refusals(source.name) ?? source.lastFailure ?? "it was not asked"
                // Most reasons begin with a URL at the source.
                return reason.contains(source.name) ? reason : "\(source.name): \(reason)"
            }.joined(separator: "; "))
    }

    /// What a destination registry did not do.
    init(destination error: RegistryError) {
        self.init(error.code == .cancelled ? .cancelled : .destinationFailed, "\(error)")
    }
}
