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

/// A source in use: its gate, and whether it may be asked now.
final class ActiveSource: Sendable {
    let source: TransferSource
    let gate: FetchGate

    private let health = Mutex(SourceHealth())
    private let clock: @Sendable () -> Double
    private let chance: @Sendable () -> Double

    init(
        _ source: TransferSource, connections: Int, clock: @escaping @Sendable () -> Double,
        chance: @escaping @Sendable () -> Double
    ) {
        self.source = source
        self.clock = clock
        self.chance = chance
        gate = FetchGate(limiter: AdaptiveLimiter(bounds: 1...connections, start: 4), clock: clock)
    }

    var name: String { source.name }

    /// Whether, and when, it may be asked.
    var availability: SourceHealth.Availability {
        let now = clock()
        return health.withLock { $0.availability(now: now) }
    }

    /// The last failure in words.
    var lastFailure: String? { health.withLock { $0.lastFailure } }

    /// Whether it answers a range request with the whole blob: then it is asked for whole blobs, by one connection each.
    var ignoresRanges: Bool {
        let now = clock()
        return health.withLock { $0.ignoresRanges(now: now) }
    }

    /// Records that it answered a range request with the whole blob.
    func ignoredRange() {
        let now = clock()
        health.withLock { $0.ignoredRange(now: now) }
    }

    /// Whether all its bytes so far were what was asked for.
    var isTrusted: Bool { health.withLock { !$0.hasServedBadBytes } }

    /// Records that it delivered something.
    func succeeded() {
        health.withLock { $0.succeeded() }
    }

    /// Records a failure that may pass: it rests for a while, and others take its place.
    func failed(_ reason: String) {
        gate.pushedBack()
        let now = clock()
        let chance = chance()
        health.withLock { $0.failed(reason, now: now, chance: chance) }
    }

    /// Records that bytes from here did not hash to what was asked for: from now on it is asked last.
    func servedBadBytes(_ reason: String) {
        health.withLock { $0.servedBadBytes(reason) }
    }
}

/// Whether a source may be asked now, after what it did before. A pure value.
///
/// Failures that come together, from many connections at once, count as one. Each further one doubles the rest; one
/// that has failed for `patience` seconds without delivering anything is given up, though later requests may find it
/// again.
struct SourceHealth {
    enum Availability: Equatable {
        case usable
        /// To be asked again at this time, in seconds of the monotonic clock.
        case resting(until: Double)
        case givenUp
    }

    /// Seconds of failures after which a source that has delivered before is given up.
    static let patience = 120.0
    /// The same for one that has never delivered: more likely a wrong address than a restart.
    static let firstPatience = 15.0
    /// The longest rest, in seconds.
    static let longestRest = 15.0

    private var failuresInARow = 0
    private var failingSince: Double?
    private var restUntil = -Double.infinity
    private var hasDelivered = false
    private var ignoresRangesUntil = -Double.infinity
    private(set) var hasServedBadBytes = false
    private(set) var lastFailure: String?

    /// How long a source is believed to ignore ranges, in seconds: a pull-through cache does it for what it does not
    /// have yet, and only then (distribution/distribution#4667).
    static let rangeDoubt = 600.0

    func ignoresRanges(now: Double) -> Bool { now < ignoresRangesUntil }

    mutating func ignoredRange(now: Double) {
        ignoresRangesUntil = now + Self.rangeDoubt
    }

    func availability(now: Double) -> Availability {
        if let failingSince, now - failingSince > (hasDelivered ? Self.patience : Self.firstPatience),
            now < restUntil + Self.longestRest
        {
            return .givenUp
        }
        return now < restUntil ? .resting(until: restUntil) : .usable
    }

    mutating func succeeded() {
        failuresInARow = 0
        failingSince = nil
        hasDelivered = true
    }

    mutating func failed(_ reason: String, now: Double, chance: Double) {
        lastFailure = reason
        if failingSince == nil { failingSince = now }
        guard now >= restUntil else { return }
        failuresInARow += 1
        let bound = min(Self.longestRest, 0.5 * Double(1 << min(failuresInARow, 10)))
        restUntil = now + bound * (0.5 + chance / 2)
    }

    mutating func servedBadBytes(_ reason: String) {
        lastFailure = reason
        hasServedBadBytes = true
    }
}
