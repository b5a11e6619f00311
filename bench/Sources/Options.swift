import ArgumentParser
import Glibc

/// Changes to a scenario's link.
struct LinkOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The link's rate each way, in Mbit/s.", valueName: "mbit"))
    var rate: Double?

    @Option(help: ArgumentHelp("The idle link's round trip, in milliseconds.", valueName: "ms"))
    var rtt: Double?

    @Option(help: ArgumentHelp("Packets lost at random each way, in percent.", valueName: "percent"))
    var loss: Double?

    @Option(
        help: ArgumentHelp("Where the random numbers start: losses, and the moments of kills.", valueName: "number"))
    var seed: UInt64 = 1

    func validate() throws {
        // Below, a round trip's worth of packets fits neither the queue nor TCP; above, the forwarder is the limit.
        if let rate, !(0.1...2000).contains(rate) { throw ValidationError("--rate is 0.1 to 2000 Mbit/s") }
        if let rtt, !(0...2000).contains(rtt) { throw ValidationError("--rtt is 0 to 2000 ms") }
        if let loss, !(0...50).contains(loss) { throw ValidationError("--loss is 0 to 50 percent") }
    }

    /// A scenario's link with these changes.
    func applied(to parameters: LinkParameters) -> LinkParameters {
        var parameters = parameters
        if let rate { parameters.rate = Int(rate * 1e6) }
        if let rtt { parameters.roundTrip = rtt }
        if let loss { parameters.loss = loss / 100 }
        parameters.seed = seed
        return parameters
    }
}

/// Where the benchmark keeps its files.
struct PlaceOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The directory for registries, images and scratch files, some GiB; /dev/shm takes the disk out of the figures.",
            valueName: "directory"))
    var work = access("/dev/shm", W_OK) == 0 ? "/dev/shm/rollcall-bench" : "/var/tmp/rollcall-bench"
}

extension LinkParameters {
    /// The wide-area link of the scenarios: 200 Mbit/s, 80 ms, 0.1 % loss.
    static let wan = LinkParameters(rate: 200_000_000, roundTrip: 80, loss: 0.001, seed: 1)

    /// The link for a person.
    var text: String {
        "link: \(fixed(Double(rate) / 1e6, 1)) Mbit/s each way, round trip \(fixed(roundTrip, 1)) ms, "
            + "loss \(fixed(loss * 100, 3)) % each way, drop-tail queue \(bytesText(queueBytes)), seed \(seed)"
    }
}
