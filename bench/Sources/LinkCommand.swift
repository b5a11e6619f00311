import ArgumentParser
import Glibc

/// The emulated link alone: its self-test, or the link itself for experiments by hand.
struct LinkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "link",
        abstract: "Measure the emulated wide-area link, or hold it open for experiments by hand.",
        discussion: """
            Needs root: it makes two network namespaces and a TUN device in each. Ends with 3 where this machine cannot have \
            one, and with 1 where it does not work: nothing comes through, or chance does not explain what is lost. Never \
            because of a time.
            """)

    @OptionGroup var link: LinkOptions

    @Option(help: ArgumentHelp("Datagrams sent each way to count the lost ones.", valueName: "count"))
    var datagrams = 100_000

    @Flag(help: "Make the link, print how to use it, and keep it until the benchmark is interrupted.")
    var hold = false

    @OptionGroup var place: PlaceOptions

    func validate() throws {
        guard datagrams > 0 else { throw ValidationError("--datagrams must be at least 1") }
    }

    func run() throws {
        try place.open()
        let parameters = link.settled().applied(to: .wan)
        if let obstacle = Link.obstacle(parameters) { throw BenchError(.unavailable, obstacle) }
        print(parameters.text)
        guard hold else {
            let test = try LinkSelfTest.run(parameters, datagrams: datagrams)
            print(test.text)
            guard test.faults.isEmpty else { throw BenchError(.verification, test.faults.joined(separator: "; ")) }
            return
        }
        let link = try Link(parameters)
        print(
            """
            far:  ip netns exec \(link.far.name) COMMAND    # \(Link.farAddress)
            near: ip netns exec \(link.near.name) COMMAND   # \(Link.nearAddress)
            Interrupt to remove them.
            """)
        fflush(nil)
        while true { pause(milliseconds: 1000) }
    }
}
