import Glibc

/// The surroundings of one run: a fresh link, the source's registry behind it, and a fresh destination.
final class Stage {
    let link: Link?
    let source: RegistryServer
    let destination: RegistryServer
    private let storage: String

    /// Starts the registries; the destination is empty unless the scenario says that everything is there.
    ///
    /// - Parameters:
    ///   - scenario: what is measured
    ///   - corpus: its images
    ///   - round: the number of the run: every tool meets the same losses in the same round
    ///   - logs: a prefix for the names of files with what each registry answered
    init(_ scenario: Scenario, _ corpus: Corpus, round: Int, logs: String? = nil) throws {
        link = try scenario.link.map { parameters in
            var parameters = parameters
            parameters.seed &+= UInt64(round)
            return try Link(parameters)
        }
        storage = try Scratch.directory("destination")
        let registry = RegistryStorage(root: storage)
        switch scenario.there {
        case .nothing: break
        case .previous: try corpus.storage.share(corpus.previous, with: registry)
        case .everything: try corpus.storage.share(corpus.images, with: registry)
        }
        source = try RegistryServer(
            storage: corpus.storage.root, address: link == nil ? "127.0.0.1" : Link.farAddress, in: link?.far,
            isReadOnly: true, isCounting: true, log: logs.map { "\($0)-source.log" })
        destination = try RegistryServer(
            storage: storage, address: link == nil ? "127.0.0.1" : Link.nearAddress, in: link?.near, isReadOnly: false,
            isCounting: true, log: logs.map { "\($0)-destination.log" })
    }

    /// What the registries and the kernel have counted so far.
    var counts: Counts {
        let (far, near) = (link?.far.counters, link?.near.counters)
        return Counts(source: source.counters, destination: destination.counters, far: far, near: near)
    }

    struct Counts {
        let source: RegistryCounters
        let destination: RegistryCounters
        /// `nil` on loopback.
        let far: TCPCounters?
        let near: TCPCounters?

        /// What was done since an earlier look.
        ///
        /// - Parameters:
        ///   - before: the earlier look
        ///   - looks: how many were taken from that one on, without this one
        func since(_ before: Counts, looks: Int = 1) -> Traffic {
            var traffic = Traffic(
                sourceRequests: source.requests - before.source.requests,
                siteRequests: destination.requests - before.destination.requests,
                sourceBytes: source.bytesSent - before.source.bytesSent,
                refused: source.refused + destination.refused - before.source.refused - before.destination.refused)
            if let far, let near, let farBefore = before.far, let nearBefore = before.near {
                // Each look asks the registry over one of them, after TCP's counters have been read.
                traffic.connections = max(0, far.accepted - farBefore.accepted - looks)
                traffic.retransmitted =
                    far.retransmitted + near.retransmitted - farBefore.retransmitted - nearBefore.retransmitted
            }
            return traffic
        }
    }

    deinit {
        // What still writes there would make removing it fail.
        destination.stop()
        Scratch.remove(storage)
    }
}
