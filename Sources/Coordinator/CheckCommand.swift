import ArgumentParser
import Console
import ConfigurationFiles
import OCI
import Readiness

/// The gate's answer.
struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Say whether every site of an environment proved that it holds what is staged, or promoted.",
        discussion: """
            Ends with 0 when ready and with 3 when blocked, after naming each blocking site and why. The question is about \
            what is staged; with --promoted about what is promoted, whatever is staged by now. With --generation alone it \
            is about that one, as it is: staged, or else promoted.
            """)

    @Argument(help: "The list's name.", transform: ListName.init(_:))
    var name: ListName

    @OptionGroup var environment: EnvironmentOptions

    @Flag(help: "Ask about what is promoted: whether every site still holds it.")
    var promoted = false

    @Option(
        help: ArgumentHelp(
            "Blocked unless this generation is staged or promoted; with --promoted, unless it is promoted.",
            valueName: "sha256:…"),
        transform: Digest.init(_:))
    var generation: Digest?

    @Option(name: [.short, .long], help: "table for people, json for programs, junit for build servers.")
    var output = Output.table

    @Option(
        help: ArgumentHelp("Also write the answer to this file, as JUnit XML.", valueName: "file"),
        completion: .file())
    var junit: String?

    @OptionGroup var colour: ColourOptions
    @OptionGroup var fleet: FleetOptions

    @Flag(help: "Ask again until it is ready or the time is over.")
    var wait = false

    @Option(
        help: ArgumentHelp("How long to wait at most, such as 90s, 30m or 2h (30m unless said).", valueName: "time"),
        transform: Duration.init(argument:))
    var timeout: Duration?

    @Option(
        help: ArgumentHelp("How long to pause between two looks (10s unless said).", valueName: "time"),
        transform: Duration.init(argument:))
    var interval: Duration?

    func validate() throws {
        guard wait || (timeout == nil && interval == nil) else {
            throw ValidationError("--timeout and --interval need --wait")
        }
        guard (interval ?? .seconds(10)) >= .seconds(1) else { throw ValidationError("--interval is at least 1s") }
    }

    /// The forms of an answer.
    enum Output: String, CaseIterable, ExpressibleByArgument {
        case table, json, junit
    }

    func run() async throws {
        let report: VerdictReport
        do {
            let (verdict, central) = try await verdict()
            // A table names a few entries, which manifests do.
            let namesAll = output != .table || junit != nil
            report = VerdictReport(verdict, missing: namesAll ? try await central.missing(of: verdict) : [:])
        } catch {
            if let junit {
                let unknown = JUnitReport(
                    unknown: name, in: environment.environment, of: subject ?? .staged, because: "\(error)",
                    at: .current)
                try OutputFile.write(Array("\(unknown.text)\n".utf8), "the JUnit report", to: junit)
            }
            throw error
        }
        if let junit {
            try OutputFile.write(Array("\(JUnitReport(report).text)\n".utf8), "the JUnit report", to: junit)
        }
        switch output {
        case .table: Terminal.say(try report.text(.table, colours: colour.isOn))
        case .json: Terminal.say(try report.text(.json))
        case .junit: Terminal.say(JUnitReport(report).text)
        }
        if !report.ready { throw ExitCode.blocked }
    }

    /// What the question is about, where it says so itself.
    private var subject: Verdict.Subject? { promoted ? .promoted : nil }

    private func verdict() async throws -> (Verdict, CentralStore) {
        // A file that changes while it waits is read again: what decides is what it says then.
        let live = try fleet.watch()
        let (list, environment) = (name, environment.environment)
        let (subject, generation) = (subject, generation)
        let look: @Sendable () async throws -> (Verdict, CentralStore) = {
            let (fleet, central) = try await live.current()
            let verdict = try await central.check(
                list, in: environment, of: fleet, act: live.actor.act, about: subject, generation: generation)
            return (verdict, central)
        }
        guard wait else { return try await look() }
        let verdict = try await Wait(timeout: timeout ?? .seconds(1800), interval: interval ?? .seconds(10)).untilReady(
            clock: ContinuousClock(), progress: Terminal.complain, look: { try await look().0 })
        return (verdict, try await live.current().central)
    }
}

extension Duration {
    /// A duration as an option has it.
    init(argument text: String) throws {
        guard let duration = Duration(written: text) else {
            throw ValidationError("write a time as 90s, 30m, 2h or 1d")
        }
        self = duration
    }
}
