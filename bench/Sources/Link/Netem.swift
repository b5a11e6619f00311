import Glibc

/// The kernel's own emulation of a link (`tc netem`) between two ends of a `veth` pair, where the kernel has it.
///
/// Each end delays, limits and loses what leaves it. The kernel's random numbers have no seed here, so that tools do not
/// meet the same losses in the same round, and what the link drops is not counted apart.
enum Netem {
    /// Whether this kernel has it, found out by trying in a namespace of its own.
    static func isThere() -> Bool {
        guard geteuid() == 0, Command.find("tc") != nil, let namespace = try? Namespace("probe") else { return false }
        return (try? Command(["tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]).run(in: namespace))
            != nil
    }

    /// What makes the pair, to be run in the far side's namespace: one end stays there, and one goes to the near side.
    static func pair(near: String) -> [String] {
        ["ip", "link", "add", "wan0", "type", "veth", "peer", "name", "wan0", "netns", near]
    }

    /// What readies an end, to be run in its namespace: one packet is one packet, as on a wire, and not a bundle of them.
    static func end(own: String, peer: String, _ parameters: LinkParameters) -> [[String]] {
        [
            ["ip", "addr", "add", own, "peer", peer, "dev", "wan0"],
            ["ip", "link", "set", "wan0", "mtu", "1500", "gso_max_segs", "1", "up"],
            ["tc", "qdisc", "add", "dev", "wan0", "root", "netem"] + discipline(parameters),
        ]
    }

    /// One direction of a link in `tc`'s words.
    static func discipline(_ parameters: LinkParameters) -> [String] {
        // It counts what is under way among what waits, in packets.
        let held = parameters.queueBytes + parameters.bandwidthDelayProduct / 2
        var words = ["limit", "\(max(64, held / 1500))", "delay", "\(Int(parameters.roundTrip * 500))us"]
        if parameters.loss > 0 { words += ["loss", "random", "\(fixed(parameters.loss * 100, 4))%"] }
        return words + ["rate", "\(parameters.rate)bit"]
    }

    /// What an end has received and sent so far, from its namespace's `/proc/net/dev`.
    ///
    /// The payload is what is left without the headers that a TCP segment with a timestamp has; acknowledgements with more
    /// options make it a little too large.
    static func counters(_ file: String) -> (received: LinkCounters, sent: LinkCounters) {
        let line = file.split(whereSeparator: \.isNewline).first { $0.drop { $0 == " " }.hasPrefix("wan0:") }
        let numbers = (line?.split(separator: ":").last ?? "").split(separator: " ").map { Int($0) ?? 0 }
        guard numbers.count >= 10 else { return (LinkCounters(), LinkCounters()) }
        func counters(_ bytes: Int, _ packets: Int) -> LinkCounters {
            // The device counts Ethernet's 14 bytes too, the link's figures do not.
            LinkCounters(packets: packets, bytes: bytes - packets * 14, payload: max(0, bytes - packets * (14 + 52)))
        }
        return (counters(numbers[0], numbers[1]), counters(numbers[8], numbers[9]))
    }
}
