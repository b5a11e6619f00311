/// What keeps the agent from working, apart from what registries, stores and files report themselves.
struct AgentError: Error, CustomStringConvertible {
    /// What happened.
    struct Code: Hashable {
        private enum Kind { case state, locked, incomplete, interrupted, usage, restart, settings }
        private let kind: Kind

        /// The state directory cannot be used.
        static let stateUnusable = Code(kind: .state)
        /// Another agent uses the state directory.
        static let stateLocked = Code(kind: .locked)
        /// Something is still missing at the end of a pass.
        static let incomplete = Code(kind: .incomplete)
        /// A signal ended the command.
        static let interrupted = Code(kind: .interrupted)
        /// Settings have changed that a running agent cannot take up.
        static let needsRestart = Code(kind: .restart)
        /// A file that the settings are made of is wrong.
        static let settings = Code(kind: .settings)
        /// Arguments that contradict each other.
        static let usage = Code(kind: .usage)
    }

    /// What happened.
    let code: Code
    /// What happened in words, and what to do.
    let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    var description: String { message }
}
