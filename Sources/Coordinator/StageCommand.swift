import ArgumentParser
import Console
import Readiness

/// A list to an environment.
struct StageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stage",
        abstract: "Publish an image list, and let an environment's agents prefetch it.",
        discussion: """
            To the first environment of the fleet file any list can be staged; to the others a generation that was \
            promoted in the environment before. Ends with 3 where the ladder refuses.
            """)

    @Argument(help: ArgumentHelp("The image list.", valueName: "LIST.json"), completion: .file())
    var list: String

    @OptionGroup var environment: EnvironmentOptions
    @OptionGroup var fleet: FleetOptions

    func run() async throws {
        let list = try ListFile.read(self.list)
        let (fleet, central, actor) = try self.fleet.open()
        let environment = environment.environment
        switch try await central.stage(list, to: environment, of: fleet, act: actor.act) {
        case .staged: Terminal.say("staged to \(environment): \(list.summary)")
        case .alreadyStaged(let pointer):
            Terminal.say("staged to \(environment) already, \(pointer.at) by \(pointer.by): \(list.summary)".printable)
        case .refused(let reason): throw Refusal(reason: reason)
        }
    }
}
