/// A value of the domain that cannot be accepted, or shared state that cannot be understood.
///
/// Negative decisions (blocked, refused) are values, not errors: see `Verdict` and `Reason`.
public struct ReadinessError: Error, Sendable, CustomStringConvertible {
    /// What was refused.
    public struct Code: Hashable, Sendable {
        private enum Kind {
            case name, time, fleet, list, manifest, record, schema, contention, signing, chain, unrecorded, waiver
        }
        private let kind: Kind

        /// An environment's, a site's or a list's name outside the grammar.
        public static let invalidName = Code(kind: .name)
        /// Text that is not a time.
        public static let invalidTime = Code(kind: .time)
        /// A fleet that contradicts itself, or does not know what is asked of it.
        public static let invalidFleet = Code(kind: .fleet)
        /// An image list that is malformed, or whose generation or closure root is not that of its content.
        public static let invalidList = Code(kind: .list)
        /// A cache manifest that is malformed.
        public static let invalidManifest = Code(kind: .manifest)
        /// An environment's record, or another object of the central store, that is malformed.
        public static let invalidRecord = Code(kind: .record)
        /// A document of a schema that this version does not read.
        public static let unknownSchema = Code(kind: .schema)
        /// A document that could not be signed.
        public static let signing = Code(kind: .signing)
        /// A waiver that is malformed, or would not count.
        public static let invalidWaiver = Code(kind: .waiver)
        /// The audit chain does not hold together: a record is missing, was changed or is malformed.
        public static let brokenChain = Code(kind: .chain)
        /// Something was done, and its audit record is still to be written.
        public static let unrecorded = Code(kind: .unrecorded)
        /// Others kept changing an environment's record for as many attempts as are made.
        public static let contention = Code(kind: .contention)
    }

    /// What was refused.
    public let code: Code
    /// What was wrong, and what to do next.
    public let message: String
    /// The file or object that it was found in, where there is one.
    public let origin: String?

    /// - Parameters:
    ///   - code: what was refused
    ///   - message: what was wrong, and what to do next
    ///   - origin: the file or object that it was found in
    public init(_ code: Code, _ message: String, in origin: String? = nil) {
        self.code = code
        self.message = message
        self.origin = origin
    }

    public var description: String { origin.map { "\($0): \(message)" } ?? message }
}
