import ArgumentParser
import ConfigurationFiles
import Console
import HTTP
import ImageLayout
import OCI
import ObjectStore
import Readiness
import Registry
import Transfer
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
            are left to the registry's own garbage collection. An agent that runs meanwhile makes no pass until this has ended.
            """)

    @OptionGroup var options: SiteOptions

    @Flag(help: "Remove what is shown.")
    var yes = false

    func run() async throws {
        let site = try PrunedSite(options)
        defer { site.http.shutdown() }
        let (pruning, author, turn) = (site.pruning, try site.author, try PassTurn(in: site.file.state))
        defer { withExtendedLifetime(turn) {} }
        let isMeant = yes
        let failures = try await cancelledBySignals {
            let plan = try await pruning.plan()
            plan.lines.forEach { Terminal.say($0.printable) }
            guard isMeant, !plan.removable.isEmpty else {
                if !plan.removable.isEmpty { Terminal.say("nothing was removed: give --yes to remove it") }
                return [String]()
            }
            let outcome = try await pruning.carryOut(plan, by: author)
            Terminal.say(
                "removed \(outcome.removed) of \(plan.removable.count); the registry's garbage collection frees the space"
            )
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

/// What pruning needs of a site: no engine, and no claim to the state directory, which an agent that runs has.
struct PrunedSite: Sendable {
    let file: AgentFile
    let http: HTTPClient
    let pruning: Pruning
    private let signingKey: PrivateKey?

    init(_ options: SiteOptions) throws {
        file = try SettingsFiles.read(options.config)
        let file = file
        http = HTTPClient()
        signingKey = try file.signingKey.map { try PrivateKey(path: $0) }
        let access = RegistryAccess(
            http: http, authFile: file.authFile, connections: file.limits.connections, plainHTTP: options.plainHTTP,
            hosts: { file.host(of: $0) })
        let registry: any RegistryContents =
            switch file.registry {
            case .url(let url): try access.client(of: url)
            case .embedded(let settings): LayoutStore(try ImageLayout(path: settings.layout))
            }
        pruning = Pruning(
            central: CentralStore(
                try SiteAgent.store(of: file, options), signingKey: signingKey),
            client: registry,
            journal: try ProofJournal(path: "\(file.state)/proofs.sqlite", registry: file.registry.name))
    }

    /// Who prunes.
    var author: Pruning.Author {
        get throws(AgentError) {
            let key = signingKey?.publicKey
            return Pruning.Author(
                environment: file.environment, site: file.site,
                auditHead: try StateDirectory.auditHead(in: file.state)
            ) {
                Act(by: Product.processOwner, at: Timestamp(.system), key: key)
            }
        }
    }
}
