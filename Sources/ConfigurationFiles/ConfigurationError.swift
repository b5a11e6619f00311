/// A file that its user has to correct, with the place: `fleet.yaml:7:5: unknown key 'registy' in site: …`.
public struct ConfigurationError: Error, Sendable, CustomStringConvertible {
    /// What is wrong with the file.
    public struct Code: Hashable, Sendable {
        private enum Kind { case unreadable, tooLarge, malformed, unknownKey, missingKey, type, value }
        private let kind: Kind

        /// A file that does not exist or cannot be read.
        public static let unreadable = Code(kind: .unreadable)
        /// A file over the size that its kind may have.
        public static let tooLarge = Code(kind: .tooLarge)
        /// Text that is not YAML, or uses more of YAML than these files may.
        public static let malformed = Code(kind: .malformed)
        /// A key that the file's kind does not have.
        public static let unknownKey = Code(kind: .unknownKey)
        /// A required key that is not there.
        public static let missingKey = Code(kind: .missingKey)
        /// A list where text is expected, and the like.
        public static let wrongType = Code(kind: .type)
        /// A value of the right type that cannot be accepted.
        public static let invalidValue = Code(kind: .value)
    }

    /// A place in a file.
    public struct Location: Hashable, Sendable, CustomStringConvertible {
        /// The line, from 1.
        public let line: Int
        /// The column, from 1, in Unicode scalars.
        public let column: Int

        public var description: String { "\(line):\(column)" }
    }

    /// What is wrong.
    public let code: Code
    /// What is wrong in words, and what to do.
    public let message: String
    /// The file as the user named it.
    public let file: String
    /// Where in the file; `nil` where the file as a whole is meant.
    public let location: Location?

    init(_ code: Code, _ message: String, in file: String, at location: Location? = nil) {
        self.code = code
        self.message = message
        self.file = file
        self.location = location
    }

    public var description: String {
        location.map { "\(file):\($0): \(message)" } ?? "\(file): \(message)"
    }
}
