/// What a doctor found: one finding for each thing that was looked at. Pure.
public struct Checkup: Sendable, Encodable {
    /// How something is.
    public enum State: String, Sendable, Encodable {
        /// As it should be.
        case ok
        /// It works, and will not always.
        case warning
        /// It does not work: something must be changed.
        case failed
        /// It was not looked at, since something before it failed or there is nothing to look at.
        case skipped
    }

    /// What was found of one thing.
    public struct Finding: Sendable, Hashable, Encodable {
        /// What was looked at: a stable name for programs.
        public let check: String
        /// Which of several that are looked at in the same way: a path, a host, a capability; `nil` where there is one.
        public let subject: String?
        /// How it is.
        public let state: State
        /// What is the case.
        public let message: String
        /// What to change; `nil` where nothing is to be changed.
        public let advice: String?

        /// - Parameters:
        ///   - check: what was looked at: a stable name for programs
        ///   - subject: which of several
        ///   - state: how it is
        ///   - message: what is the case
        ///   - advice: what to change
        public init(
            _ check: String, of subject: String? = nil, _ state: State, _ message: String, advice: String? = nil
        ) {
            self.check = check
            self.subject = subject
            self.state = state
            self.message = message
            self.advice = advice
        }

        /// The check and its subject.
        var title: String { subject.map { "\(check) \($0.printable)" } ?? check }
    }

    /// In the order in which things were looked at.
    public private(set) var findings: [Finding] = []

    /// Nothing was looked at yet.
    public init() {}

    /// Why the file that everything starts from cannot be used, for the exit code; `nil` where it can.
    public var fileFault: (any Error)?

    /// Takes a finding.
    public mutating func add(_ finding: Finding) { findings.append(finding) }

    /// Takes findings.
    public mutating func add(_ findings: [Finding]) { self.findings += findings }

    /// Whether nothing must be changed.
    public var isWell: Bool { !findings.contains { $0.state == .failed } }

    private enum CodingKeys: CodingKey { case well, findings }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(isWell, forKey: .well)
        try container.encode(findings, forKey: .findings)
    }

    /// The findings for people, and a sentence about them all.
    public var lines: [StyledText] {
        let width = min(48, findings.map(\.title.count).max() ?? 0)
        var lines = findings.flatMap { finding -> [StyledText] in
            let style: TextStyle =
                switch finding.state {
                case .ok: .good
                case .warning: .warning
                case .failed: .bad
                case .skipped: .quiet
                }
            let first =
                StyledText(finding.state.rawValue, style).padded(to: 9)
                + StyledText(finding.title, .strong).padded(to: max(width, finding.title.count) + 2)
                + StyledText(finding.message.printable)
            return [first]
                + (finding.advice.map { [StyledText(String(repeating: " ", count: 9) + "→ \($0.printable)")] } ?? [])
        }
        let count = { (state: State) in findings.count { $0.state == state } }
        let (failed, warnings) = (count(.failed), count(.warning))
        lines += [
            "",
            failed > 0
                ? StyledText("\(failed) to be changed", .bad)
                    + StyledText(warnings > 0 ? ", \(warnings) to be looked at" : "")
                : warnings > 0 ? StyledText("\(warnings) to be looked at", .warning) : StyledText("all is well", .good),
        ]
        return lines
    }
}
