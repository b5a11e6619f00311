/// What the emulated link is, measured from its ends, beside what it should be.
struct LinkSelfTest: Codable {
    /// One measurement.
    struct Line: Codable {
        let what: String
        let unit: String
        let expected: Double
        let measured: Double
        /// How far the measured value may be off by chance alone; 0 where chance has no part.
        let chance: Double

        var text: String {
            let off = expected == 0 ? "" : "  off by \(fixed((measured / expected - 1) * 100, 2)) %"
            let noise = chance == 0 ? "" : "  (chance alone: \(fixed(chance / max(expected, 1e-12) * 100, 1)) %)"
            let digits = expected < 1 ? 4 : 2
            return "\(what): \(fixed(measured, digits)) \(unit), expected \(fixed(expected, digits))\(off)\(noise)"
        }
    }

    var lines: [Line] = []
    /// The forwarder's share of one processor while the link was full.
    var forwarderCPU = 0.0
    /// The latest that a packet came out, in milliseconds.
    var worstLateness = 0.0
    var settings: [String: String] = [:]

    /// Measures a link of these parameters: its rate without loss, then the round trip and the loss with it.
    ///
    /// - Parameters:
    ///   - parameters: the link
    ///   - datagrams: how many are sent each way to count the lost ones
    /// - Throws: `BenchError` without root
    static func run(_ parameters: LinkParameters, datagrams: Int) throws -> LinkSelfTest {
        var test = LinkSelfTest()
        var lossless = parameters
        lossless.loss = 0
        do {
            let link = try Link(lossless)
            test.settings = link.settings
            // Slow start overshoots the queue once; the link is full from then on.
            let stream = try LinkProbe(link: link).stream(warmup: max(3, parameters.roundTrip / 1000 * 60), seconds: 5)
            test.forwarderCPU = stream.forwarderCPU
            test.worstLateness = Double(link.snapshot.worstLateness) / 1e6
            test.lines.append(
                Line(
                    what: "TCP payload, one stream without loss", unit: "Mbit/s",
                    expected: Double(parameters.rate) / 1e6 * 1448 / 1500, measured: stream.rate * 8 / 1e6, chance: 0))
        }
        let link = try Link(parameters)
        let probe = LinkProbe(link: link)
        let trips = Spread(try probe.roundTrips(100))
        test.lines.append(
            Line(
                what: "round trip, median of 100", unit: "ms", expected: parameters.roundTrip,
                measured: trips?.median ?? .nan, chance: 0))
        for down in [true, false] {
            let loss = try probe.loss(of: datagrams, down: down)
            let chance = (parameters.loss * (1 - parameters.loss) / Double(datagrams)).squareRoot()
            test.lines.append(
                Line(
                    what: "loss \(down ? "far to near" : "near to far"), \(datagrams) datagrams", unit: "%",
                    expected: parameters.loss * 100, measured: loss * 100, chance: chance * 100))
        }
        return test
    }

    /// What is wrong with the link whatever else this machine does: nothing comes through, or chance does not explain what
    /// is lost. That it is slow or late is none of it.
    var faults: [String] {
        lines.compactMap { line in
            guard line.unit == "%" else {
                return line.measured.isFinite && line.measured > 0 ? nil : "\(line.what): nothing came through"
            }
            // Six deviations, and a little for a receiver that was not scheduled in time.
            guard abs(line.measured - line.expected) > 6 * line.chance + 0.1 else { return nil }
            return "\(line.what): \(fixed(line.measured, 3)) %, where \(fixed(line.expected, 3)) % should be"
        }
    }

    /// The test's lines for a person.
    var text: String {
        lines.map(\.text).joined(separator: "\n")
            + "\nforwarder: \(fixed(forwarderCPU * 100, 0)) % of one processor while the link was full "
            + "(it does the kernel's TCP receive work of both sides), "
            + "worst lateness of a packet \(fixed(worstLateness, 2)) ms\n"
            + settings.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: "; ")
    }
}
