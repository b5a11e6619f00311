import ArgumentParser
import Console
import Readiness

/// The whole fleet at a glance.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show every environment's lists and what each site proved of them.",
        discussion: "Ends with 0 whether ready or not: it is no gate. Use check for that.")

    @OptionGroup var output: OutputOptions
    @OptionGroup var fleet: FleetOptions

    func run() async throws {
        let (fleet, central, _) = try self.fleet.open()
        let standing = try await FleetStanding(of: fleet, in: central, at: .current)
        Terminal.say(try StatusReport(standing).text(output.output, colours: output.colour.isOn))
    }
}
