/// A piece of work that is measured: which images, over which link, and what is there already.
struct Scenario {
    enum Work: String, Codable {
        /// One image.
        case copy
        /// Many images as one list.
        case release
    }

    let name: String
    let summary: String
    let corpus: CorpusPlan
    /// `nil` for loopback.
    let link: LinkParameters?
    let work: Work
    /// Whether the destination has everything before the run.
    var isThere = false
    /// Whether runs are killed and started again.
    var isKilled = false
    /// Seconds after which a run is given up.
    let timeout: Double

    /// Every scenario.
    ///
    /// - Parameters:
    ///   - scale: the share of the usual bytes; less than 1 for a quick look
    ///   - options: changes to the links
    static func all(scale: Double, _ options: LinkOptions) -> [Scenario] {
        func bytes(_ mebibytes: Double) -> Int { Int(mebibytes * 0x1p20 * scale) }
        let seed = options.seed
        let release = CorpusPlan.release(images: 60, bytes: bytes(85), seed: seed)
        let image = CorpusPlan.image("large", bytes: bytes(1024), layers: 12, seed: seed)
        func wan(loss: Double) -> LinkParameters {
            options.applied(to: LinkParameters(rate: 200_000_000, roundTrip: 80, loss: loss, seed: seed))
        }
        return [
            Scenario(
                name: "wan-one-large", summary: "one layer of \(bytesText(bytes(256))) over a lossy wide-area link",
                corpus: .image("layer", bytes: bytes(256), layers: 1, seed: seed), link: wan(loss: 0.001), work: .copy,
                timeout: 200),
            Scenario(
                name: "wan-release", summary: "a release of 60 images that share bases over a wide-area link",
                corpus: release, link: wan(loss: 0.0001), work: .release, timeout: 200),
            Scenario(
                name: "lan-large", summary: "\(bytesText(bytes(1024))) in 12 layers between two registries on loopback",
                corpus: image, link: nil, work: .copy, timeout: 100),
            Scenario(
                name: "warm-noop", summary: "a release of 60 images that the destination has already, on loopback",
                corpus: release, link: nil, work: .release, isThere: true, timeout: 60),
            Scenario(
                name: "kill-resume",
                summary: "a copy of \(bytesText(bytes(1024))) that is killed at a random moment and started again",
                corpus: image,
                link: options.applied(to: LinkParameters(rate: 500_000_000, roundTrip: 5, loss: 0, seed: seed)),
                work: .copy, isKilled: true, timeout: 200),
        ]
    }
}
