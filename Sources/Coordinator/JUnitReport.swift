import Console
import OCI
import Readiness

/// A verdict as JUnit XML, which build servers show as test results: one test suite for the environment, one test case
/// for each of its sites.
///
/// There is no standard: this is the form that Jenkins, GitLab and Azure Pipelines read (testsuites, testsuite, testcase,
/// failure, error), without attributes that only some know.
struct JUnitReport {
    /// Missing entries that a failure names for each site; the rest is counted.
    static let namedEntries = 100

    private struct Case {
        /// Why it did not pass: a failure for what is blocked, an error for what is not known.
        struct Fault {
            let element: String
            let type: String
            let message: String
            let text: String
        }
        let name: String
        let fault: Fault?
        /// What a case that passed rests on beside proof.
        var remark: String?
    }

    private let environment: String
    private let list: String
    private let subject: Verdict.Subject
    private let decidedAt: Timestamp
    private let cases: [Case]

    /// What was decided.
    init(_ verdict: VerdictReport) {
        environment = verdict.environment
        list = verdict.list
        subject = verdict.of
        decidedAt = verdict.decidedAt
        // What blocks the environment as a whole is no site's, and must not be lost where there are no sites.
        let whole =
            verdict.reasons.isEmpty
            ? [] : [Case(name: "environment \(verdict.environment)", fault: Self.failure(verdict.reasons, lines: []))]
        cases =
            whole
            + verdict.sites.map { site in
                Case(
                    name: site.site, fault: site.ready ? nil : Self.failure(site.reasons, lines: Self.missing(site)),
                    remark: Self.remark(on: site))
            }
    }

    /// That nothing could be decided: a report which is left from an earlier run would be taken for this one's.
    init(
        unknown list: ListName, in environment: EnvironmentName, of subject: Verdict.Subject = .staged,
        because error: String, at now: Timestamp
    ) {
        self.environment = environment.text
        self.list = list.text
        self.subject = subject
        decidedAt = now
        cases = [
            Case(
                name: "environment \(environment)",
                fault: Case.Fault(element: "error", type: "unknown", message: error, text: error))
        ]
    }

    private static func failure(_ reasons: [VerdictReport.Cause], lines: [String]) -> Case.Fault {
        Case.Fault(
            element: "failure", type: reasons.first?.code ?? "blocked", message: reasons.first?.message ?? "blocked",
            text: (reasons.map { "\($0.code): \($0.message)" } + lines).joined(separator: "\n"))
    }

    private static func remark(on site: VerdictReport.Site) -> String? {
        guard let waiver = site.waiver else { return site.unsigned ? "unsigned: nobody vouches for it" : nil }
        let reasons = site.reasons.map { "\($0.code): \($0.message)" }.joined(separator: "\n")
        return
            "waived by \(waiver.approver) until \(waiver.expiresAt), waiver \(waiver.id): \(waiver.reason)\n\(reasons)"
    }

    private static func missing(_ site: VerdictReport.Site) -> [String] {
        let named = site.missing.prefix(namedEntries).map {
            "missing: \($0.repository)@\($0.digest) (\($0.kind.rawValue), \(Quantity.bytes($0.size)))"
        }
        let others = site.missingEntries - named.count
        return others > 0 ? named + ["and \(others) more missing entries"] : named
    }

    /// The document, UTF-8.
    var text: String {
        let counts =
            "tests=\"\(cases.count)\" failures=\"\(count("failure"))\" errors=\"\(count("error"))\" skipped=\"0\" time=\"0\""
        var lines = [
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "<testsuites name=\"rollcall check\" \(counts)>",
            "  <testsuite name=\"\(VerdictReport.title(list, in: environment, of: subject).xml)\" \(counts)"
                // Without an offset, as the form has it; it is UTC.
                + " timestamp=\"\(decidedAt.description.dropLast())\">",
        ]
        // Both answers about a list may be among one build's results: none may take the other's place.
        let name = "rollcall.\(environment).\(list)" + (subject == .promoted ? ".promoted" : "")
        for entry in cases {
            let opening =
                "    <testcase classname=\"\(name.xml)\" name=\"\(entry.name.xml)\" time=\"0\""
            guard let fault = entry.fault else {
                lines +=
                    entry.remark.map {
                        ["\(opening)>", "      <system-out>\($0.xml)</system-out>", "    </testcase>"]
                    } ?? ["\(opening)/>"]
                continue
            }
            lines += [
                "\(opening)>",
                "      <\(fault.element) type=\"\(fault.type.xml)\" message=\"\(fault.message.xml)\">\(fault.text.xml)</\(fault.element)>",
                "    </testcase>",
            ]
        }
        return (lines + ["  </testsuite>", "</testsuites>"]).joined(separator: "\n")
    }

    private func count(_ element: String) -> Int { cases.count { $0.fault?.element == element } }
}

extension String {
    /// The text for an attribute or an element of XML 1.0, which has no way to write most control characters.
    fileprivate var xml: String {
        var text = ""
        for scalar in unicodeScalars {
            switch scalar {
            case "&": text += "&amp;"
            case "<": text += "&lt;"
            case ">": text += "&gt;"
            case "\"": text += "&quot;"
            case "\n": text += "&#10;"
            case "\u{0}"..<"\u{20}", "\u{7F}"..<"\u{A0}", "\u{FFFE}", "\u{FFFF}": text += "?"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}
