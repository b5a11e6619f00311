import OCI
import Readiness
import Registry
import Transfer

extension SitePass {
    /// How long damaged content that an upload did not mend is left alone: what did not help today does not help in an hour,
    /// and each attempt takes the link.
    static let mendingInterval = Duration.seconds(86_400)

    /// What a pass found in the registry.
    struct Finding: Sendable {
        /// What the registry showed, and what it did not.
        var inventory: Inventory
        /// Entries that are there by name, and damaged; with what was found.
        var damaged: [ClosureEntry.Identity: String] = [:]
        /// Of the damaged ones, those that were uploaded again not long ago, and did not get better of it.
        var leftAlone: Set<ClosureEntry.Identity> = []

        /// Everything that is not there as it should be.
        var missing: [ClosureEntry] {
            inventory.missing + inventory.present.filter { damaged[$0.identity] != nil }
        }

        /// What is to be brought: of what is missing, all that may be mended.
        var toBring: Inventory {
            let distrusted = inventory.distrusting(Set(damaged.keys))
            return Inventory(
                present: distrusted.present, missing: distrusted.missing.filter { !leftAlone.contains($0.identity) },
                broken: distrusted.broken)
        }
    }

    /// What the registry showed of a closure, as what is known from now on: what it lacks, or lacked until it was brought,
    /// was not read back.
    ///
    /// - Parameter brought: entries that it lacked and has by now
    /// - Throws: `AgentError.incomplete` where nothing is known of some entry: what was not asked for must count neither as
    ///   there nor as missing
    func finding(_ inventory: Inventory, of closure: Closure, brought: [ClosureEntry] = []) throws -> Finding {
        let known = Set((inventory.present + inventory.missing).map(\.identity))
        if let unknown = closure.entries.first(where: { !known.contains($0.identity) }) {
            throw AgentError(
                .incomplete,
                "the registry was not asked for \(unknown.repository)@\(unknown.digest), so nothing is said about the site:"
                    + " the next pass asks again")
        }
        try journal.forgetReadings(of: Set((inventory.missing + brought).map(\.digest)))
        return Finding(inventory: inventory)
    }

    /// Asks the registry to show every entry. What was found damaged is read back: presence is not enough for it.
    func look(at closure: Closure) async throws -> Finding {
        var finding = try self.finding(try await registry.inventory(of: closure.entries), of: closure)
        for (identity, reason) in finding.inventory.broken {
            try journal.recordFault(try registry.place(of: identity), reason: reason)
            finding.damaged[identity] = reason
        }
        guard try !journal.faults().isEmpty else { return finding }
        let absent = Set(finding.inventory.missing.map(\.identity)).subtracting(finding.inventory.broken.keys)
        let faults = try journal.faults()
        for entry in closure.entries {
            let place = try registry.place(of: entry.identity)
            guard faults[place] != nil else { continue }
            witness.sign()
            if absent.contains(entry.identity) {
                // Somebody has removed it: now it is missing, and nothing more.
                try journal.clearFault(place)
                continue
            }
            if finding.damaged[entry.identity] == nil {
                let reading = journal.beginReading(of: entry.digest, at: now())
                defer { journal.end(reading) }
                switch try await registry.readBack(entry, isBudgeted: false) {
                case .shown:
                    try journal.clearFault(place)
                    try journal.record(reading, in: place.repository)
                    continue
                case .absent: try journal.recordFault(place, reason: "it is no longer there")
                case .broken(let reason): try journal.recordFault(place, reason: reason)
                }
            }
            guard let fault = try journal.fault(at: place) else { continue }
            finding.damaged[entry.identity] = fault.reason
            // One of a time to come is of a clock that was wrong, and must not leave it alone until then.
            if let mendedAt = fault.mendedAt,
                (Duration.zero..<Self.mendingInterval).contains(now().since(mendedAt))
            {
                finding.leftAlone.insert(entry.identity)
            }
        }
        return finding
    }

    /// Remembers what the agent puts into the registry: that is its own, and may be pruned.
    func events(_ surveyed: @escaping @Sendable (Inventory) async -> Void = { _ in }) -> PassEvents {
        let (journal, registry, now) = (journal, registry, now)
        var events = PassEvents()
        events.surveyed = { [witness] found in
            witness.surveyed(found.missing)
            await surveyed(found)
        }
        events.brought = witness.brought
        events.failed = witness.failed
        // What cannot be written down is not pruned later: no harm is done.
        events.pushed = { entry in
            guard let place = try? registry.place(of: entry.identity) else { return }
            try? journal.recordPush(of: place.digest, to: place.repository, at: now())
        }
        events.assigned = { tag in
            guard let place = try? registry.place(of: tag.identity) else { return }
            try? journal.recordTag(
                ProofJournal.AssignedTag(repository: place.repository, tag: tag.tag, digest: tag.digest), at: now())
        }
        return events
    }

    /// Brings what is missing, and remembers what of it is the agent's own.
    func bring(_ finding: Finding) async throws -> Delivery {
        // What was broken was there before: whose it was, nobody knows.
        let foreign = Set(finding.damaged.keys)
        let pushed = events().pushed
        return try await registry.bringMissing(finding.toBring) { entry in
            if !foreign.contains(entry.identity) { pushed(entry) }
        }
    }

    /// Looks after bringing, and mends what the registry took and does not serve.
    func lookAgain(
        at closure: Closure, after before: Finding, _ delivery: Delivery, failures: inout [String]
    ) async throws -> Finding {
        var finding = try await look(at: closure)
        guard delivery.pause == nil else { return finding }
        let tried = Set(before.toBring.missing.map(\.identity)).subtracting(delivery.undelivered)
        let refused = finding.missing.filter { $0.kind == .manifest && tried.contains($0.identity) }
        if !refused.isEmpty {
            failures += try await registry.mend(refused)
            finding = try await look(at: closure)
        }
        for (identity, _) in finding.damaged where tried.contains(identity) {
            try journal.recordMending(try registry.place(of: identity), at: now())
            finding.leftAlone.insert(identity)
        }
        return finding
    }

    /// Points tags at what is there, and remembers which of them are the agent's own.
    func assign(_ tags: [TagAssignment]) async throws -> [String] {
        try await registry.assignTags(tags, assigned: events().assigned)
    }
}
