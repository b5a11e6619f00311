import ArgumentParser
import Console
import OCI
import ObjectStore
import Readiness

/// What is staged becomes what may be used.
struct PromoteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "promote",
        abstract: "Check, and only if every site is ready, promote what is staged.",
        discussion: """
            Ends with 3, and promotes nothing, when blocked, and when somebody else staged or promoted the list meanwhile. \
            With --dry-run it says what it would do, with the same exit code, and changes and records nothing; so it \
            does not ask for the clock of a directory's files, which only one that is written tells.
            """)

    @Argument(help: "The list's name.", transform: ListName.init(_:))
    var name: ListName

    @OptionGroup var environment: EnvironmentOptions

    @Option(
        help: ArgumentHelp(
            "The generation that is meant: refused where it is not the one.", valueName: "digest"),
        transform: Digest.init(_:))
    var generation: Digest?

    @Flag(help: "Only say what would be done.")
    var dryRun = false

    @OptionGroup var output: OutputOptions
    @OptionGroup var fleet: FleetOptions

    func run() async throws {
        let (fleet, central, actor) = try self.fleet.open()
        let outcome = try await central.promote(
            name, in: environment.environment, of: fleet, act: actor.act, generation: generation, isDryRun: dryRun)
        if dryRun { outcome.sayWhatWasNotAsked(of: fleet.objectStore) }
        try await outcome.report(.promotion, output, from: central)
    }
}

/// What was promoted before becomes what may be used again.
struct RollbackCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollback",
        abstract: "Check, and only if every site is ready for it, return to the generation that was promoted before.",
        discussion: """
            The gate is the same as promote's: every site must prove that it holds the earlier generation now. Sites keep \
            as many earlier generations as the fleet file's 'rollbackDepth' says, one unless said. What is rolled back no \
            longer counts as promoted there. Ends with 3, and changes nothing, when blocked.
            """)

    @Argument(help: "The environment, by its name in the fleet file.", transform: EnvironmentName.init(_:))
    var environment: EnvironmentName

    @Argument(
        help: ArgumentHelp("The list's name; may be left out where the environment has one list.", valueName: "name"),
        transform: ListName.init(_:))
    var list: ListName?

    @Option(
        help: ArgumentHelp(
            "The generation that is meant: refused where it is not the one.", valueName: "digest"),
        transform: Digest.init(_:))
    var generation: Digest?

    @Flag(help: "Only say what would be done.")
    var dryRun = false

    @OptionGroup var output: OutputOptions
    @OptionGroup var fleet: FleetOptions

    func run() async throws {
        let (fleet, central, actor) = try self.fleet.open()
        let list = if let list { list } else { try await onlyList(of: fleet, in: central) }
        let outcome = try await central.promote(
            list, in: environment, of: fleet, act: actor.act, move: .rollback, generation: generation,
            isDryRun: dryRun)
        if dryRun { outcome.sayWhatWasNotAsked(of: fleet.objectStore) }
        try await outcome.report(.rollback, output, from: central)
    }

    private func onlyList(of fleet: Fleet, in central: CentralStore) async throws -> ListName {
        let lists = try await central.record(of: fleet.environment(environment).name).record.lists.keys.sorted()
        guard lists.count == 1, let list = lists.first else {
            throw UsageError(
                lists.isEmpty
                    ? "'\(environment)' has no list"
                    : "'\(environment)' has several lists: name one of \(lists.map(\.text).joined(separator: ", "))")
        }
        return list
    }
}

extension PromotionOutcome {
    /// A dry run may say more than the deed finds: what only a write tells is left out.
    fileprivate func sayWhatWasNotAsked(of store: ObjectStoreLocation) {
        guard case .possible = self, case .directory = store else { return }
        Terminal.complain("nothing was written, so the clock of the object store's files was not asked")
    }

    /// Says what came of it.
    ///
    /// - Throws: `ExitCode.blocked` for a refusal
    fileprivate func report(_ move: Move, _ output: OutputOptions, from central: CentralStore) async throws {
        guard case .refused(let verdict) = self else {
            Terminal.say(try PromotionReport(self, move: move).text(output.output, colours: output.colour.isOn))
            return
        }
        let missing = output.output == .json ? try await central.missing(of: verdict) : [:]
        Terminal.say(
            try PromotionReport(self, move: move, missing: missing).text(output.output, colours: output.colour.isOn))
        throw ExitCode.blocked
    }
}
