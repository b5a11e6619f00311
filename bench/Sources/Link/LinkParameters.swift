/// The wide-area link that is emulated, the same both ways but for the random numbers.
struct LinkParameters: Hashable, Codable {
    /// What carries the packets.
    enum Emulation: String, Codable, CaseIterable {
        /// A thread of the benchmark between two TUN devices.
        case forwarder
        /// The kernel's network emulator.
        case netem
    }

    /// Bits of IP packets a second, each way. TCP's payload gets 1448/1500 of it at best.
    var rate: Int
    /// Round trip time of an idle link, in milliseconds; half of it each way.
    var roundTrip: Double
    /// The share of packets lost at random, each way.
    var loss: Double
    /// Where the random numbers start.
    var seed: UInt64
    var emulation = Emulation.forwarder

    /// Bytes that fill the link: rate times round trip.
    var bandwidthDelayProduct: Int { Int(Double(rate) / 8 * roundTrip / 1000) }

    /// The drop-tail queue before the link in bytes: one bandwidth-delay product, and room for a burst on short links.
    var queueBytes: Int { max(bandwidthDelayProduct, 64 * 1500) }

    /// Seconds in which the link carries so many bytes of IP packets.
    func seconds(carrying bytes: Int) -> Double { Double(bytes) * 8 / Double(rate) }
}
