import ArgumentParser
import Console
import Readiness

/// What is staged becomes what may be used.
struct PromoteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "promote",
        abstract: "Check, and only if every site is ready, promote what is staged.",
        discussion: """
            Ends with 3, and promotes nothing, when blocked, and when somebody else staged or promoted the list meanwhile.
            """)

    @Argument(help: "The list's name.", transform: ListName.init(_:))
    var name: ListName

    @OptionGroup var environment: EnvironmentOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var fleet: FleetOptions

    func run() async throws {
        let (fleet, central) = try self.fleet.open()
        let outcome = try await central.promote(name, in: environment.environment, of: fleet, act: .current)
        Terminal.say(try PromotionReport(outcome).text(output.output))
        if case .refused = outcome { throw ExitCode.blocked }
    }
}
