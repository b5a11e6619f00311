import ArgumentParser

extension LinkParameters.Emulation: ExpressibleByArgument {}

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

    @Option(help: "What carries the packets; the kernel's netem where it is there, unless said.")
    var emulation: LinkParameters.Emulation?

    func validate() throws {
        // Below, a round trip's worth of packets fits neither the queue nor TCP; above, the forwarder is the limit.
        if let rate, !(0.1...2000).contains(rate) { throw ValidationError("--rate is 0.1 to 2000 Mbit/s") }
        if let rtt, !(0...2000).contains(rtt) { throw ValidationError("--rtt is 0 to 2000 ms") }
        if let loss, !(0...50).contains(loss) { throw ValidationError("--loss is 0 to 50 percent") }
    }

    /// These options with an emulation that this machine has.
    func settled() -> LinkOptions {
        var options = self
        options.emulation = emulation ?? (Netem.isThere() ? .netem : .forwarder)
        return options
    }

    /// A scenario's link with these changes.
    func applied(to parameters: LinkParameters) -> LinkParameters {
        var parameters = parameters
        if let rate { parameters.rate = Int(rate * 1e6) }
        if let rtt { parameters.roundTrip = rtt }
        if let loss { parameters.loss = loss / 100 }
        parameters.seed = seed
        parameters.emulation = emulation ?? .forwarder
        return parameters
    }
}

/// Changes to what the scenarios carry.
struct WorkOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The share of the scenarios' bytes, for a quick look.", valueName: "share"))
    var scale = 1.0

    @Option(help: ArgumentHelp("Bytes of each scenario's images together, instead of its own.", valueName: "MiB"))
    var bytes: Double?

    @Option(help: ArgumentHelp("Images of each release, instead of the scenario's own.", valueName: "count"))
    var images: Int?

    @Option(help: ArgumentHelp("Agents of many-agents.", valueName: "count"))
    var agents = 20

    @Option(help: ArgumentHelp("Sites of gate-fleet and store-s3, instead of their own.", valueName: "count"))
    var sites: Int?

    func validate() throws {
        guard (0.005...16).contains(scale) else { throw ValidationError("--scale is 0.005 to 16") }
        if let bytes, !(0.1...65_536).contains(bytes) { throw ValidationError("--bytes is 0.1 to 65536 MiB") }
        if let images, !(1...20_000).contains(images) { throw ValidationError("--images is 1 to 20000") }
        guard (1...200).contains(agents) else { throw ValidationError("--agents is 1 to 200") }
        if let sites, !(1...10_000).contains(sites) { throw ValidationError("--sites is 1 to 10000") }
    }

    /// The bytes of a scenario that usually has so many MiB.
    func bytes(_ mebibytes: Double) -> Int { Int((bytes ?? mebibytes * scale) * 0x1p20) }

    /// The images of a scenario that usually has so many.
    func images(_ usual: Int) -> Int { images ?? usual }
}

/// Where the benchmark keeps its files.
struct PlaceOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            The directory for registries, images and scratch files. Unless said, each scenario has one in /dev/shm, which \
            takes the disk out of the figures, or in /var/tmp where that has not the room.
            """,
            valueName: "directory"))
    var work: String?

    /// Opens the best place that has room for so many bytes.
    @discardableResult
    func open(for bytes: (WorkPlace) -> Int = { _ in 64 << 20 }) throws -> WorkPlace {
        try WorkPlace.open(work, for: bytes)
    }
}

extension LinkParameters {
    /// The wide-area link of the scenarios: 200 Mbit/s, 80 ms, 0.1 % loss.
    static let wan = LinkParameters(rate: 200_000_000, roundTrip: 80, loss: 0.001, seed: 1)

    /// The link for a person.
    var text: String {
        "link: \(fixed(Double(rate) / 1e6, 1)) Mbit/s each way, round trip \(fixed(roundTrip, 1)) ms, "
            + "loss \(fixed(loss * 100, 3)) % each way, drop-tail queue \(bytesText(queueBytes)), "
            + (emulation == .netem ? "netem" : "seed \(seed)")
    }
}
