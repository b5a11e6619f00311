import ArgumentParser
import ConfigurationFiles
import Console
import OCI
import Readiness
import Trust

/// Exceptions from the gate.
struct WaiverCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "waiver",
        abstract: "Give, show and take back exceptions: one site, one generation of one list, for some time.",
        discussion: """
            A waiver is signed by an approver of the fleet file, and is shown in every answer and record that rests on it. \
            There is no other way around the gate.
            """, subcommands: [Add.self, List.self, Revoke.self])

    /// A new waiver.
    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let one site be unready for one generation of a list.",
            discussion: "Prints the waiver's ID. A list that is staged anew is another generation, which is not waived."
        )

        @Argument(help: "The list's name.", transform: ListName.init(_:))
        var list: ListName

        @OptionGroup var environment: EnvironmentOptions

        @Option(help: "The site.", transform: SiteName.init(_:))
        var site: SiteName

        @Option(help: "Why, for whoever reads the audit log.")
        var reason: String

        @Option(
            help: ArgumentHelp(
                "How long it holds, such as 8h or 3d; 30 days at most.", valueName: "time"))
        var expires: String

        @Option(help: ArgumentHelp("The approver's key, as the fleet file has its public half.", valueName: "file"))
        var key: String

        @Option(
            help: ArgumentHelp("The generation; what is staged now unless said.", valueName: "digest"),
            transform: Digest.init(_:))
        var generation: Digest?

        @OptionGroup var fleet: FleetOptions

        func validate() throws {
            guard Duration(written: expires) != nil else {
                throw ValidationError("--expires: write a time as 8h or 3d")
            }
        }

        func run() async throws {
            let (fleet, central, actor) = try self.fleet.open()
            let environment = try fleet.environment(environment.environment)
            let key = try PrivateKey(path: self.key)
            guard
                let approver = fleet.approvers.first(where: { approver in
                    approver.keys.contains { $0.publicKey == key.publicKey }
                })
            else {
                throw UsageError(
                    "\(self.key): no approver of the fleet file has this key: add its public half,"
                        + " \(key.publicKey), under 'approvers'")
            }
            let staged = try await central.record(of: environment.name).record.lists[list]?.staged?.generation
            guard let generation = generation ?? staged else {
                throw UsageError("nothing is staged to '\(environment.name)' as '\(list)': there is nothing to waive")
            }
            let act = actor.act
            let waiver = try Waiver(
                environment: environment.name, site: site, list: list, generation: generation, reason: reason,
                approver: approver.name, issuedAt: act.at,
                expiresAt: act.at.advanced(by: Duration(written: expires) ?? .zero))
            try await central.add(waiver, signedBy: key, of: fleet, act: act)
            Terminal.say(waiver.id)
        }
    }

    /// All waivers.
    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show an environment's waivers.")

        @OptionGroup var environment: EnvironmentOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var fleet: FleetOptions

        func run() async throws {
            let (fleet, central, _) = try self.fleet.open()
            let waivers = try await central.waivers(of: fleet.environment(environment.environment))
            let rows = waivers.map { WaiverRow($0, at: .current) }
            switch output.output {
            case .json: Terminal.say(try jsonText(rows))
            case .table:
                var table = Table("WAIVER", "STATE", "SITE", "LIST", "GENERATION", "APPROVER", "EXPIRES", "REASON")
                for row in rows {
                    table.add(
                        StyledText(row.id), .state(row.state.rawValue), StyledText(row.site ?? "-"),
                        StyledText(row.list ?? "-"), StyledText(row.generation?.short ?? "-"),
                        StyledText(row.approver ?? "-"), StyledText(row.expiresAt?.description ?? "-"),
                        StyledText(row.defect ?? row.reason ?? ""))
                }
                Terminal.say(rows.isEmpty ? "no waivers" : table.lines.text(colours: output.colour.isOn))
            }
        }
    }

    /// One waiver less.
    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Take a waiver back before it expires.")

        @Argument(help: "The waiver's ID.")
        var id: String

        @OptionGroup var environment: EnvironmentOptions
        @OptionGroup var fleet: FleetOptions

        func run() async throws {
            let (fleet, central, actor) = try self.fleet.open()
            let environment = try fleet.environment(environment.environment)
            let wasThere = try await central.revoke(waiver: id, in: environment.name, act: actor.act)
            Terminal.say("waiver \(id) in \(environment.name): \(wasThere ? "taken back" : "was taken back already")")
        }
    }
}

/// A waiver as `waiver list` writes it.
private struct WaiverRow: Encodable {
    let id: String
    let state: WaiverReport.State
    let site: String?
    let list: String?
    let generation: Digest?
    let reason: String?
    let approver: String?
    let issuedAt: Timestamp?
    let expiresAt: Timestamp?
    let defect: String?

    init(_ report: WaiverReport, at now: Timestamp) {
        id = report.id
        let claim = report.claim
        state = report.state(at: now)
        site = claim?.site.text
        list = claim?.list.text
        generation = claim?.generation
        reason = claim?.reason
        approver = claim?.approver.text
        issuedAt = claim?.issuedAt
        expiresAt = claim?.expiresAt
        defect = report.defect
    }
}
