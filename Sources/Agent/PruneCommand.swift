import ArgumentParser
import ConfigurationFiles
import Console
import HTTP
import OCI
import Readiness
import Trust

/// What is no longer needed.
struct PruneCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract:
            "Remove manifests and tags from the site's registry that this agent brought and no list needs any more.",
        discussion: """
            Shows what it would remove, and removes it only with --yes. What any environment of the object store stages, has \
            promoted or may return to is kept, and so is what somebody else pushed, tagged or made part of an index. Blobs \
            are left to the registry's own garbage collection. The agent must not be running meanwhile.
            """)

    @OptionGroup var options: SiteOptions

    @Flag(help: "Remove what is shown.")
    var yes = false

    func run() async throws {
        let agent = try SiteAgent(options)
        defer { agent.shutdown() }
        let pruning = agent.pruning
        let isMeant = yes
        let failures = try await cancelledBySignals {
            let plan = try await pruning.plan()
            plan.lines.forEach { Terminal.say($0.printable) }
            guard isMeant, !plan.removable.isEmpty else {
                if !plan.removable.isEmpty { Terminal.say("nothing was removed: give --yes to remove it") }
                return [String]()
            }
            let outcome = try await pruning.carryOut(plan)
            Terminal.say(
                "removed \(outcome.removed) of \(plan.removable.count); the registry's garbage collection frees the space"
            )
            try await agent.record(outcome)
            return outcome.failures
        }
        PassReport.bounded(failures, of: "failures").forEach(Terminal.complain)
        if !failures.isEmpty { throw ExitCode.failure }
    }
}

extension PrunePlan {
    /// The plan for people.
    var lines: [String] {
        removable.map { place in
            let tags = tags[place] ?? []
            return "remove \(place.repository)@\(place.digest)"
                + (tags.isEmpty ? "" : " (\(tags.map(\.name).joined(separator: ", ")))")
        } + kept.map { "keep   \($0.place.repository)@\($0.place.digest): \($0.reason)" } + [
            "\(needed + removable.count + kept.count) manifests brought: \(needed) needed, \(kept.count) used by others,"
                + " \(removable.count) to remove"
        ]
    }
}

extension SiteAgent {
    /// What removes what is no longer needed.
    var pruning: Pruning {
        Pruning(central: pass.central, client: registry, journal: pass.journal)
    }

    /// Records in the audit chain what was removed.
    func record(_ outcome: Pruning.Outcome) async throws {
        guard outcome.removed > 0 || !outcome.failures.isEmpty else { return }
        var event = AuditEvent(
            .sitePruned, Act(by: Product.processOwner, at: Timestamp(.system), key: pass.signingKey?.publicKey))
        (event.environment, event.site) = (file.environment, file.site)
        event.details["removed"] = "\(outcome.removed)"
        event.details["failed"] = "\(outcome.failures.count)"
        try await pass.central.record(event)
    }
}
