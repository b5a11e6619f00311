import OCI
import Transfer

extension TransferReport {
    /// Why entries are still missing, in one line for each cause: the first entry that failed of it, with the number of
    /// the others. What was held back because of another failure is no cause of its own.
    var causes: [String] { causes(leavingOut: []) }

    /// The same without those of some entries.
    func causes(leavingOut entries: Set<ClosureEntry.Identity>) -> [String] {
        let failures = failures.filter { !entries.contains($0.entry) }
        let roots = failures.filter { $0.error.code != .missingDependency }
        var lines: [String: (first: String, others: Int)] = [:]
        var order: [String] = []
        for failure in roots.isEmpty ? failures : roots {
            let message = "\(failure.error)"
            let cause = message.withoutContents
            if lines[cause] == nil {
                order.append(cause)
                lines[cause] = ("\(failure.entry.repository)@\(failure.entry.digest): \(message)", 0)
            } else {
                lines[cause]?.others += 1
            }
        }
        return order.compactMap { cause in
            lines[cause].map { line in
                switch line.others {
                case 0: line.first
                case 1: "\(line.first) (and 1 more entry failed of the same)"
                default: "\(line.first) (and \(line.others) more entries failed of the same)"
                }
            }
        }
    }
}

extension String {
    /// The message without the contents and the paths to them that it is about: of two messages that differ in nothing
    /// else, the cause is the same.
    fileprivate var withoutContents: String {
        split(separator: " ", omittingEmptySubsequences: false).map { word in
            let parts = ["/v2/", "sha256:", "sha512:"].compactMap { word.firstRange(of: $0)?.lowerBound }
            return String(word[..<(parts.min() ?? word.endIndex)])
        }.joined(separator: " ")
    }
}
