/// Why the benchmark cannot be run or a figure cannot be had.
struct BenchError: Error, CustomStringConvertible {
    /// What kind of obstacle it is.
    struct Code: Hashable {
        private enum Kind { case system, lack, command, corpus, usage, verification }
        private let kind: Kind

        /// A system call failed.
        static let system = Code(kind: .system)
        /// This machine has not what something takes: root, a device, room, a program that only this needs.
        static let unavailable = Code(kind: .lack)
        /// A command is missing or failed.
        static let command = Code(kind: .command)
        /// The corpus cannot be made or read.
        static let corpus = Code(kind: .corpus)
        /// Arguments that make no sense.
        static let usage = Code(kind: .usage)
        /// The destination does not serve what was copied.
        static let verification = Code(kind: .verification)
    }

    let code: Code
    /// What happened, where, and what to do.
    let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    var description: String { message }
}
