import ArgumentParser
import Console
import Readiness

/// Sites of the central object store.
struct SiteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "site", abstract: "Look after the sites that report.", subcommands: [Forget.self])

    /// A site that is no more.
    struct Forget: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Delete the cache manifest of a site that the environment no longer has.",
            discussion: "A site that the fleet file names, and that does not report, blocks: remove it there too.")

        @Argument(help: "The site's name.", transform: SiteName.init(_:))
        var site: SiteName

        @OptionGroup var environment: EnvironmentOptions
        @OptionGroup var fleet: FleetOptions

        func run() async throws {
            let (fleet, central, actor) = try self.fleet.open()
            let environment = try fleet.environment(environment.environment)
            let existed = try await central.forget(site, in: environment.name, act: actor.act)
            let isNamed = environment.sites.contains { $0.name == site }
            guard existed || isNamed else {
                throw UsageError(
                    "no site '\(site)' in '\(environment.name)': neither the fleet file nor the object store knows one; see"
                        + " 'rollcall status' for those that report")
            }
            var line = "\(site) in \(environment.name): \(existed ? "forgotten" : "had no cache manifest")"
            if isNamed {
                line += "; the fleet file still names it, so it blocks until it reports again"
            }
            Terminal.say(line)
        }
    }
}
