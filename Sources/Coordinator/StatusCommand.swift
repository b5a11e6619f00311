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
        var environments: [StatusReport.Environment] = []
        for environment in fleet.environments {
            environments.append(
                StatusReport.Environment(
                    environment, record: try await central.record(of: environment.name).record,
                    evidence: try await central.observe(environment), now: .current))
        }
        Terminal.say(try StatusReport(environments: environments).text(output.output))
    }
}
