public import OCI

/// What a layout on disk did not do.
public struct LayoutError: Error, Sendable, CustomStringConvertible {
    /// What happened.
    public struct Code: Hashable, Sendable {
        private enum Kind {
            case missingRoot, notALayout, permission, full, busy, damaged, blob, manifest, upload, uploadBusy, offset
            case digest, invalidManifest, missingContent, size, inUse, limit, cancelled, unavailable
        }
        private let kind: Kind

        /// The layout's directory does not exist.
        public static let missingRoot = Code(kind: .missingRoot)
        /// The directory holds something else than a layout.
        public static let notALayout = Code(kind: .notALayout)
        /// The operating system denies access.
        public static let permissionDenied = Code(kind: .permission)
        /// No space or quota left.
        public static let full = Code(kind: .full)
        /// Another process held a lock for longer than the patience for it.
        public static let busy = Code(kind: .busy)
        /// A file of the layout does not hold what it must.
        public static let damaged = Code(kind: .damaged)
        /// The repository has no such blob.
        public static let blobUnknown = Code(kind: .blob)
        /// The repository has no such manifest.
        public static let manifestUnknown = Code(kind: .manifest)
        /// The repository has no such upload.
        public static let uploadUnknown = Code(kind: .upload)
        /// Another request is writing to the upload.
        public static let uploadBusy = Code(kind: .uploadBusy)
        /// Bytes that do not follow on what the upload holds.
        public static let offsetMismatch = Code(kind: .offset)
        /// Content that does not hash to its digest.
        public static let digestMismatch = Code(kind: .digest)
        /// Bytes that are no manifest, or not of the type that they are said to be.
        public static let invalidManifest = Code(kind: .invalidManifest)
        /// A manifest names content that the repository does not hold; `digests` says which.
        public static let missingContent = Code(kind: .missingContent)
        /// A manifest names content by another size than it has.
        public static let sizeMismatch = Code(kind: .size)
        /// Content that a manifest of the repository names.
        public static let inUse = Code(kind: .inUse)
        /// More of something than the layout takes.
        public static let tooMany = Code(kind: .limit)
        /// Whoever had asked for it wants it no more.
        public static let cancelled = Code(kind: .cancelled)
        /// Any other failure of the file system.
        public static let unavailable = Code(kind: .unavailable)
    }

    /// What happened.
    public let code: Code
    /// What happened in words, and what to do next.
    public let message: String
    /// The file, the directory or the repository that it happened at.
    public let location: String
    /// The content that it is about, where there is any.
    public let digests: [Digest]

    /// - Parameters:
    ///   - code: what happened
    ///   - message: the same in words, with the next step
    ///   - location: the file, the directory or the repository that it happened at
    ///   - digests: the content that it is about
    public init(_ code: Code, _ message: String, at location: String, digests: [Digest] = []) {
        self.code = code
        self.message = message
        self.location = location
        self.digests = digests
    }

    public var description: String { "\(location): \(message)" }
}
