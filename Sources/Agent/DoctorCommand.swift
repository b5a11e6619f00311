import ArgumentParser
import Console
import FoundationEssentials

/// Looks at everything that an agent needs, and says what to change.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Look at everything that the agent needs, and say what to change.",
        discussion: """
            Looks at the configuration and the files that it names, the state directory and its disk, the object store and \
            what it promises, the sources, the regional registry and what it can do, and the clocks. Nothing is left \
            behind: uploads that it starts are taken back, and so are the objects that it writes. An agent may run \
            meanwhile. Run it as the agent's user. Ends with 0 where an agent can do its work, though there may be \
            warnings, with 64 where the file or one that it names is wrong, and with 3 otherwise.
            """)

    @OptionGroup var options: SiteOptions
    @OptionGroup var colour: ColourOptions

    @Option(help: "How to say it: text, or json for programs.")
    var output = DoctorOutput.text

    func run() async throws {
        let checkup = try await cancelledBySignals { [options] in await Doctor(options).examine() }
        switch output {
        case .text: Terminal.say(checkup.lines.map { $0.rendered(colours: colour.isOn) }.joined(separator: "\n"))
        case .json:
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            Terminal.say(String(decoding: try encoder.encode(checkup), as: UTF8.self))
        }
        if let fault = checkup.fileFault { throw fault }
        if !checkup.isWell { throw ExitCode.blocked }
    }
}

/// How the doctor speaks.
enum DoctorOutput: String, ExpressibleByArgument, CaseIterable { case text, json }
