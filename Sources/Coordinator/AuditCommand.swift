import ArgumentParser
import Board
import ConfigurationFiles
import Console
import FoundationEssentials
import OCI
import ObjectStore
import Readiness

/// Who did what, where and when.
struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Show, verify and export the chain of everything that was decided and done.",
        subcommands: [Log.self, Verify.self, Export.self])

    /// Which chain: the fleet's, or a copy of it.
    struct ChainOptions: ParsableArguments {
        @Option(
            help: ArgumentHelp(
                "Read this copy of the object store, or of its audit directory, and not the store of the fleet file.",
                valueName: "path"), completion: .directory)
        var directory: String?

        @OptionGroup var fleet: FleetOptions

        func open() throws -> CentralStore {
            guard let directory else { return try fleet.open().central }
            return CentralStore(try AuditCopy.open(directory))
        }

        /// The fleet, for its sites' keys: beside a copy only the one that is named.
        func keys() throws -> Fleet? {
            directory == nil || fleet.fleet != nil ? try fleet.read() : nil
        }
    }

    /// Which records.
    struct FilterOptions: ParsableArguments {
        @Option(name: [.short, .long], help: "Only of this environment.", transform: EnvironmentName.init(_:))
        var environment: EnvironmentName?

        @Option(help: "Only of this site, or where it blocked or was waived.", transform: SiteName.init(_:))
        var site: SiteName?

        @Option(help: "Only about this list.", transform: ListName.init(_:))
        var list: ListName?

        @Option(help: ArgumentHelp("Only by this person: USER or USER@HOST.", valueName: "person"))
        var by: String?

        @Option(
            help: ArgumentHelp(
                "Only from then on: a time as 2026-03-01T12:00:00Z, or an age as 7d.", valueName: "time"),
            transform: Timestamp.init(argument:))
        var since: Timestamp?

        @Option(help: ArgumentHelp("Only until then.", valueName: "time"), transform: Timestamp.init(argument:))
        var until: Timestamp?

        var filter: CentralStore.AuditFilter {
            var filter = CentralStore.AuditFilter()
            (filter.environment, filter.site, filter.list) = (environment, site, list)
            (filter.person, filter.since, filter.until) = (by, since, until)
            return filter
        }
    }

    /// The latest records, for people.
    struct Log: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show the latest records.")

        @OptionGroup var filter: FilterOptions

        @Option(help: ArgumentHelp("How many at most (50 unless said).", valueName: "number"))
        var limit = 50

        @OptionGroup var output: OutputOptions
        @OptionGroup var chain: ChainOptions

        func validate() throws {
            guard (1...100_000).contains(limit) else { throw ValidationError("--limit is from 1 to 100000") }
        }

        func run() async throws {
            let records = try await chain.open().auditRecords(filter.filter, limit: limit)
            switch output.output {
            case .json: Terminal.say(try jsonText(records))
            case .table: Terminal.say(AuditTable(records).lines.text(colours: output.colour.isOn))
            }
        }
    }

    /// Whether the chain holds together.
    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Verify that the chain has no gap, and that no record was changed.",
            discussion: """
                Ends with 0 when it holds together, and with 3 after naming the first record that does not fit. It prints \
                the end of the chain as NUMBER:DIGEST: kept somewhere else and given back with --head later, it shows \
                whether records were cut off at the end since. Each site's manifest says how far its agent saw the chain \
                go; with --fleet, also beside --directory, it must be signed by the site's key. So must be what the \
                site's agent recorded, and everything else by a key of the fleet file's 'coordinators', if it names \
                any: it ends with 3 after naming records that are not, those up to --head excepted.
                """)

        @Option(
            help: ArgumentHelp("The end of the chain as it was noted before.", valueName: "number:digest"),
            transform: AuditHead.init(_:))
        var head: AuditHead?

        @OptionGroup var chain: ChainOptions

        func run() async throws {
            let verification = try await chain.open().verifyAudit(knowing: head, fleet: chain.keys())
            for remark in verification.remarks { Terminal.complain(remark) }
            if let fault = verification.fault {
                Terminal.say("the audit chain does not hold together: \(fault.object): \(fault.message)".printable)
                throw ExitCode.blocked
            }
            Terminal.say(
                "the audit chain holds together: \(verification.records) records, \(verification.signed) of them signed"
                    + "\(verification.vouchedFor); \(verification.witnessed); it ends with \(verification.end)")
            guard verification.strangerCount > 0 else { return }
            Terminal.say(verification.strangersNamed)
            throw ExitCode.blocked
        }
    }

    /// Every record, for programs.
    struct Export: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write the records as JSON lines, in their order.")

        @OptionGroup var filter: FilterOptions
        @OptionGroup var chain: ChainOptions

        func run() async throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            try await chain.open().eachAuditRecord(filter.filter) { record in
                Terminal.say(String(decoding: try encoder.encode(record), as: UTF8.self))
            }
        }
    }
}

/// Records as people read them.
struct AuditTable {
    let lines: [StyledText]

    init(_ records: [AuditRecord]) {
        guard !records.isEmpty else {
            lines = ["no records"]
            return
        }
        var table = Table("NUMBER", "TIME", "WHO", "WHAT", "WHERE", "LIST", "")
        for record in records {
            let event = record.event
            let list = event.list.map { "\($0)\(event.generation.map { " \($0.short)" } ?? "")" } ?? "-"
            table.add(
                "\(record.sequence)", event.at.description, event.by.text + (record.signature.map { " (\($0))" } ?? ""),
                event.action.text, event.place.isEmpty ? "-" : event.place, list, record.remarks.joined(separator: "; ")
            )
        }
        lines = table.lines
    }
}

extension Timestamp {
    /// A time, or an age in the form of durations.
    fileprivate init(argument text: String) throws {
        if let age = Duration(written: text) {
            self = Timestamp.current.advanced(by: .zero - age)
        } else {
            do {
                try self.init(text)
            } catch {
                throw ValidationError("\(error.message), or an age as 7d or 12h")
            }
        }
    }
}

extension AuditVerification {
    /// How many records are signed by keys that somebody knows, in words.
    fileprivate var vouchedFor: String { vouched.map { ", \($0) by a key that the fleet file has for it" } ?? "" }

    /// The records that should be signed by a known key and are not, in words.
    fileprivate var strangersNamed: String {
        let named = strangers.map { "\($0)" }.joined(separator: ", ")
        let others = strangerCount - Int64(strangers.count)
        return "\(strangerCount) of them signed by no key that the fleet file has for who did it: \(named)"
            + (others > 0 ? " and \(others) more" : "")
            + ": look at them with 'rollcall audit log'; once they are explained, give --head \(end)"
    }

    /// How many sites bear witness, in words.
    fileprivate var witnessed: String {
        guard witnesses > 0 else { return "no site of \(siteManifests) bears witness" }
        return
            "\(witnesses) of \(siteManifests) sites bear witness, \(checkedWitnesses) with a signature that was checked"
    }
}
