import ArgumentParser
import Console

/// Looks at everything that an agent needs, and says what to change.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Look at everything that the agent needs, and say what to change.",
        discussion: """
            Looks at the configuration and the files that it names, the state directory and its disk, the object store and \
            what it promises, the sources, the regional registry and what it can do, and the clocks. Nothing is left \
            behind: uploads that it starts are taken back. An agent may run meanwhile. Ends with 0 where an agent can do \
            its work, though there may be warnings, and with 1 otherwise.
            """)

    @OptionGroup var options: SiteOptions

    @Option(help: "How to say it: text, or json for programs.")
    var output = DoctorOutput.text

    func run() async throws {
        let report = try await cancelledBySignals { [options] in await Doctor(options).examine() }
        Terminal.say(output == .json ? report.json : report.text)
        if let fault = report.configurationFault { throw fault }
        if !report.isHealthy { throw ExitCode.failure }
    }
}

/// How the doctor speaks.
enum DoctorOutput: String, ExpressibleByArgument, CaseIterable { case text, json }
