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
        if scenario.isThere { try corpus.storage.duplicate(to: storage) }
        source = try RegistryServer(
            storage: corpus.storage.root, address: link == nil ? "127.0.0.1" : Link.farAddress, in: link?.far,
            isReadOnly: true, log: logs.map { "\($0)-source.log" })
        destination = try RegistryServer(
            storage: storage, address: link == nil ? "127.0.0.1" : Link.nearAddress, in: link?.near, isReadOnly: false,
            log: logs.map { "\($0)-destination.log" })
    }

    deinit { Scratch.remove(storage) }
}
