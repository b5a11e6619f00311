import Console
import OCI
import Readiness
import Transfer

/// What a pass came to.
struct PassReport: Sendable {
    /// The most lines of failures and of missing entries that are shown.
    static let maximumLines = 20

    /// Generations of lists that were looked after.
    let lists: Int
    /// Generations that are staged or promoted, and could not be read.
    let unreadableLists: Int
    /// All that the lists need.
    let closure: Closure
    /// Entries that the site's registry lacks at the end.
    let missing: [ClosureEntry]
    /// Of the missing entries, those that the registry has and does not serve as it should; with what was found.
    let damaged: [ClosureEntry.Identity: String]
    /// Of the damaged entries, those that did not get better when they were uploaded again.
    let leftAlone: Set<ClosureEntry.Identity>
    /// Entries that this pass brought.
    let delivered: [ClosureEntry]
    /// What went wrong, one line each.
    let failures: [String]
    /// Entries that wait until transfers go on.
    let postponed: Int
    /// Why they wait, and until when.
    let pause: TransferPause?
    /// Sources that served wrong bytes or failed to the end, with the latest reason.
    let sourceFaults: [String: String]
    /// What was published, list by list.
    var holdings: [CacheManifest.Holding] = []

    /// Whether the site holds all that it should.
    var isComplete: Bool { missing.isEmpty && unreadableLists == 0 }

    /// Whether another pass would do no better before somebody has acted: all that is missing is damaged in a way that an
    /// upload does not mend.
    var isStuck: Bool { !isComplete && unreadableLists == 0 && missing.allSatisfy { leftAlone.contains($0.identity) } }

    /// What failed and what is missing, bounded.
    var complaints: [String] {
        var lines = Self.bounded(failures, of: "failures")
        lines += Self.bounded(
            damaged.sorted { $0.key < $1.key }.map { entry, reason in
                "damaged: \(entry.repository)@\(entry.digest): \(reason)"
                    + (leftAlone.contains(entry)
                        ? "; an upload does not replace it: remove it from the registry's storage, and the next pass brings it"
                        : "")
            }, of: "damaged entries")
        // Each cause once: a failure names the source that it comes from.
        let named = lines
        lines += sourceFaults.sorted { $0.key < $1.key }
            .filter { fault in !named.contains { $0.contains(fault.key) } }
            .map { "source \($0.key): \($0.value)" }
        if let pause {
            let waiting = postponed == 1 ? "1 entry waits" : "\(postponed) entries wait"
            lines.append("transfers are paused, \(waiting): \(pause)")
        }
        if pause == nil, postponed > 0 {
            lines.append(
                postponed == 1
                    ? "1 entry is left to the site's other shards"
                    : "\(postponed) entries are left to the site's other shards")
        }
        // Where reasons were named, they say why things are missing; naming those again would hide them.
        if failures.isEmpty, pause == nil, postponed == 0 {
            lines += Self.bounded(
                missing.filter { damaged[$0.identity] == nil }.map {
                    "missing: \($0.repository)@\($0.digest) (\($0.kind.rawValue), \(Quantity.bytes($0.size)))"
                },
                of: "missing entries")
        }
        return lines
    }

    /// The pass in one line.
    var summary: String {
        guard lists + unreadableLists > 0 else { return "nothing is staged or promoted" }
        let lists = "\(self.lists) \(self.lists == 1 ? "list" : "lists")"
        var text = "\(lists), \(closure.entries.count) entries, \(Quantity.bytes(closure.uniqueBytes))"
        if !delivered.isEmpty {
            text += ": brought \(delivered.count) (\(Quantity.bytes(Closure(delivered).uniqueBytes)))"
        }
        if isComplete { return text + ": complete" }
        if unreadableLists > 0 { text += ": \(unreadableLists) more could not be read" }
        if !missing.isEmpty {
            text += ": \(missing.count) missing (\(Quantity.bytes(Closure(missing).uniqueBytes)))"
        }
        return text
    }

    static func bounded(_ lines: [String], of what: String) -> [String] {
        guard lines.count > maximumLines else { return lines }
        return lines.prefix(maximumLines - 1) + ["… and \(lines.count - maximumLines + 1) more \(what)"]
    }
}
