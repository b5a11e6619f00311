import ConfigurationFiles
import Console
import FoundationEssentials

/// What the doctor found.
struct DoctorReport: Encodable {
    /// How serious it is.
    enum Standing: String, Encodable {
        /// All is well.
        case ok
        /// It works, and could be better.
        case warning
        /// It does not work.
        case failed
        /// It was not looked at.
        case skipped
    }

    /// One thing that was looked at.
    struct Finding: Encodable {
        /// What was looked at, for programs: `configuration`, `state`, `disk`, `objectStore`, `source`, `registry`, `clock`.
        let check: String
        /// Which of them: a path, a host, a capability.
        let subject: String
        let standing: Standing
        /// What was found, and what to do.
        let text: String
    }

    private(set) var findings: [Finding] = []
    /// Whether an agent can do its work.
    var isHealthy: Bool { !findings.contains { $0.standing == .failed } }
    /// What is wrong with the file itself, for the exit code.
    var configurationFault: ConfigurationError?

    mutating func add(_ check: String, _ subject: String, _ standing: Standing, _ text: String) {
        findings.append(Finding(check: check, subject: subject, standing: standing, text: text))
    }

    /// A line each, and one that sums up.
    var text: String {
        let width = findings.map { $0.check.count + 1 + $0.subject.count }.max() ?? 0
        var lines = findings.map { finding in
            let name = "\(finding.check) \(finding.subject)"
            return
                "\(finding.standing.rawValue.padded(to: 8))\(name.padded(to: min(width, 48) + 2))\(finding.text.printable)"
        }
        let warnings = findings.count { $0.standing == .warning }
        let failures = findings.count { $0.standing == .failed }
        lines.append(
            failures > 0
                ? "\(failures) to repair, \(warnings) \(warnings == 1 ? "warning" : "warnings")"
                : warnings > 0
                    ? "the agent can work, with \(warnings) \(warnings == 1 ? "warning" : "warnings")" : "all is well")
        return lines.joined(separator: "\n")
    }

    /// The same for programs: `healthy` and `findings`.
    var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        // Strings always encode.
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }

    private enum CodingKeys: CodingKey { case healthy, findings }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(isHealthy, forKey: .healthy)
        try container.encode(findings, forKey: .findings)
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String { self + String(repeating: " ", count: max(1, width - count)) }
}
