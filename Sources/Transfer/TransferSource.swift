public import OCI
public import Registry
import Synchronization

/// A registry to fetch from: the central one, a mirror, or a sibling site's.
public struct TransferSource: Sendable {
    /// How messages and figures call it.
    public let name: String
    /// Its client.
    public let client: RegistryClient
    /// Which name a repository of the image list has there; the same unless said.
    public let mapping: RepositoryMapping

    /// - Parameters:
    ///   - name: how messages and figures call it
    ///   - client: its client
    ///   - mapping: which name a repository of the image list has there
    public init(name: String, client: RegistryClient, mapping: RepositoryMapping = RepositoryMapping()) {
        self.name = name
        self.client = client
        self.mapping = mapping
    }
}

/// A source in use: its gate and its record of failures.
final class ActiveSource: Sendable {
    let source: TransferSource
    let gate: FetchGate

    private struct Health {
        var failuresInARow = 0
        var restUntil = -Double.infinity
        var lastFailure: String?
        var servedBadBytes = false
        var ignoresRanges = false
    }

    private let health = Mutex(Health())
    private let clock: @Sendable () -> Double

    /// Failures in a row after which a source is left alone for `rest` seconds.
    static let failureLimit = 3
    static let rest = 30.0

    init(_ source: TransferSource, connections: Int, clock: @escaping @Sendable () -> Double) {
        self.source = source
        self.clock = clock
        gate = FetchGate(limiter: AdaptiveLimiter(bounds: 1...connections, start: 8), clock: clock)
    }

    var name: String { source.name }

    /// Whether it may be asked now.
    var isUsable: Bool {
        let now = clock()
        return health.withLock { !$0.servedBadBytes && $0.restUntil <= now }
    }

    /// The last failure in words, while the source is resting.
    var lastFailure: String? { health.withLock { $0.lastFailure } }

    /// Whether it answers a range request with the whole blob: then it is asked for whole blobs, by one connection each.
    var ignoresRanges: Bool {
        get { health.withLock { $0.ignoresRanges } }
        set { health.withLock { $0.ignoresRanges = newValue } }
    }

    func succeeded() {
        health.withLock { $0.failuresInARow = 0 }
    }

    /// Records a failure that is the source's own: after some in a row it rests, and others take its place.
    func failed(_ reason: String) {
        gate.pushedBack()
        let now = clock()
        health.withLock { health in
            health.failuresInARow += 1
            health.lastFailure = reason
            if health.failuresInARow >= Self.failureLimit { health.restUntil = now + Self.rest }
        }
    }

    /// Records that bytes from here did not hash to what was asked for: not used again in this pass.
    func servedBadBytes(_ reason: String) {
        health.withLock { health in
            health.servedBadBytes = true
            health.lastFailure = reason
        }
    }
}
