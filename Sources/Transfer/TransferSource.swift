import HTTP
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
    /// Sources of a lower number are asked first; of a higher one only while none of those can be used.
    public let priority: Int
    /// Its share of the requests among sources of its priority, 1 to 1000.
    public let weight: Int
    /// The most connections to it at once; `nil` for what the engine's limits say.
    public let connections: Int?

    /// - Parameters:
    ///   - name: how messages and figures call it; of two sources with one name the figures are added up
    ///   - client: its client
    ///   - mapping: which name a repository of the image list has there
    ///   - priority: sources of a lower number are asked first
    ///   - weight: its share of the requests among sources of its priority, 1 to 1000
    ///   - connections: the most connections to it at once; `nil` for what the engine's limits say
    public init(
        name: String, client: RegistryClient, mapping: RepositoryMapping = RepositoryMapping(), priority: Int = 1,
        weight: Int = 1, connections: Int? = nil
    ) {
        self.name = name
        self.client = client
        self.mapping = mapping
        self.priority = priority
        self.weight = min(max(1, weight), 1000)
        self.connections = connections
    }
}

/// A source in use: its gate, and whether it may be asked now.
final class ActiveSource: Sendable {
    let source: TransferSource
    let gate: FetchGate
    /// The most connections to it at once.
    let connections: Int

    private let health = Mutex(SourceHealth())
    private let board: ProgressBoard
    private let clock: @Sendable () -> Double
    private let chance: @Sendable () -> Double

    init(
        _ source: TransferSource, connections: Int, site: ConnectionBudget, cap: Int64?, window: Int?,
        board: ProgressBoard,
        clock: @escaping @Sendable () -> Double, chance: @escaping @Sendable () -> Double
    ) {
        self.source = source
        let most = max(1, source.connections ?? connections)
        self.connections = most
        self.board = board
        self.clock = clock
        self.chance = chance
        gate = FetchGate(
            limiter: AdaptiveLimiter(
                bounds: 1...most, start: Self.firstConnections,
                cap: cap.map { Double($0) }, window: window ?? 64 << 10),
            site: site, clock: clock)
    }

    /// Connections until the distance is known: to a distant source, waiting for that costs as much as everything else.
    static let firstConnections = 32

    var name: String { source.name }

    /// Whether, and when, it may be asked.
    var availability: SourceHealth.Availability {
        let now = clock()
        return health.withLock { $0.availability(now: now) }
    }

    /// How the choice of a source sees it.
    ///
    /// - Parameter isRefused: whether it will not deliver what is to be fetched, whatever else it does
    func candidate(isRefused: Bool) -> SourceChoice.Candidate {
        let now = clock()
        let (availability, isSuspect) = health.withLock { ($0.availability(now: now), $0.isSuspect(now: now)) }
        return SourceChoice.Candidate(
            priority: source.priority, weight: source.weight, load: gate.load, hasRoom: gate.hasRoom,
            availability: isRefused ? .givenUp : availability, isSuspect: isSuspect)
    }

    /// Why a blob is not asked of it: what it served did not hash to the digest, not long ago.
    func corruption(of digest: Digest) -> String? {
        let now = clock()
        return health.withLock { $0.corruption(of: digest, now: now) }
    }

    /// Whether its latest requests failed.
    var isFailing: Bool { health.withLock(\.isFailing) }

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

    /// Whether it may be asked now. One that failed is asked by one at first, who finds out for all whether it is well:
    /// everyone who is told yes says `succeeded`, `answered` or `failed` afterwards.
    func admits() -> Bool {
        let now = clock()
        return health.withLock { $0.admits(now: now) }
    }

    /// Records that a request has ended without a failure of the source's, whatever came of it.
    func answered() {
        health.withLock { $0.answered() }
    }

    /// Records that it delivered something.
    func succeeded() {
        health.withLock { $0.succeeded() }
    }

    /// Records a failure that may pass: it rests for a while, and others take its place.
    func failed(_ error: RegistryError) {
        let isThere = error.status != nil || [.connectionReset, .truncatedBody].contains(error.transport)
        failed("\(error)", hasAnswered: isThere, retryAfter: error.retryAfter.map { $0 / .seconds(1) })
    }

    /// Records a failure that may pass.
    ///
    /// - Parameters:
    ///   - reason: what happened, where
    ///   - hasAnswered: whether somebody was there: busy, or breaking connections off, but not a wrong address
    ///   - retryAfter: seconds for which it asked to be left alone
    func failed(_ reason: String, hasAnswered: Bool, retryAfter: Double? = nil) {
        gate.pushedBack()
        let now = clock()
        let chance = chance()
        health.withLock {
            $0.failed(reason, hasAnswered: hasAnswered, retryAfter: retryAfter, now: now, chance: chance)
        }
        board.fault(of: name, reason)
    }

    /// Records that bytes from here did not hash to the digest that was asked for.
    func servedBadBytes(for digest: Digest, _ reason: String) {
        let now = clock()
        let isNew = health.withLock { health in
            defer { health.servedBadBytes(for: digest, reason, now: now) }
            return health.corruption(of: digest, now: now) == nil
        }
        if isNew { board.fault(of: name, reason, isCorrupt: true) }
    }
}

/// Whether a source may be asked now, after what it did before. A pure value.
///
/// Failures that come together, from many connections at once, count as one. Each further one doubles the rest; one
/// that has failed for long without delivering anything is given up, though later requests may find it
/// again. After a rest one request finds out for all whether it is well: others do not wait with it in the dark, and
/// sources of a higher number go on meanwhile.
///
/// A source that asks for time gets it (`Retry-After`), and that time does not count against it; but for longer than
/// `longestWait` nobody waits, and it is given up until then.
///
/// One that served bytes which did not hash to the digest is not asked for that blob again for `corruptionMemory`
/// seconds, so that no link is filled with the same wrong bytes again and again; and for as long all other sources go
/// before it. It is not given up: what it serves is verified anyway, and it may be the only one.
struct SourceHealth {
    enum Availability: Equatable {
        case usable
        /// To be asked again at this time, in seconds of the monotonic clock.
        case resting(until: Double)
        case givenUp
    }

    /// What a source has shown of itself.
    private enum Standing: Comparable {
        case unknown, answers, delivers

        /// Seconds of failures after which it is given up: one that never answered, not even that it is busy, is more
        /// likely a wrong address than a restart.
        var patience: Double {
            switch self {
            case .unknown: 15
            case .answers: 60
            case .delivers: 120
            }
        }
    }
    /// The longest rest, in seconds.
    static let longestRest = 15.0
    /// Seconds that the one request has which finds out whether a source is well.
    static let probeTime = 15.0
    /// The most seconds for which a source that asked for time is waited for.
    static let longestWait = 120.0
    /// The most seconds of one run of failures that do not count, since it had asked for them.
    static let longestExcuse = 600.0
    /// Seconds for which a blob that was served with wrong bytes is not asked for again.
    static let corruptionMemory = 3600.0
    /// The most blobs that are remembered so; the oldest are forgotten.
    static let rememberedCorruptions = 1000

    private var failuresInARow = 0
    private var failingSince: Double?
    private var restUntil = -Double.infinity
    /// Until when the one request that finds out may take.
    private var probeUntil = -Double.infinity
    /// Until when it asked to be left alone.
    private var busyUntil = -Double.infinity
    /// Seconds of the failures so far for which it had asked.
    private var excused = 0.0
    private var standing = Standing.unknown
    private var ignoresRangesUntil = -Double.infinity
    private var corruptions: [Digest: (at: Double, reason: String)] = [:]
    private var lastCorruption = -Double.infinity
    private(set) var lastFailure: String?

    /// How long a source is believed to ignore ranges, in seconds: a pull-through cache does it for what it does not
    /// have yet, and only then (distribution/distribution#4667).
    static let rangeDoubt = 600.0

    func ignoresRanges(now: Double) -> Bool { now < ignoresRangesUntil }

    mutating func ignoredRange(now: Double) {
        ignoresRangesUntil = now + Self.rangeDoubt
    }

    func availability(now: Double) -> Availability {
        if busyUntil - now > Self.longestWait { return .givenUp }
        if let failingSince, now - failingSince - excused > standing.patience,
            now < max(restUntil, busyUntil) + Self.longestRest
        {
            return .givenUp
        }
        let until = max(restUntil, probeUntil, busyUntil)
        return now < until ? .resting(until: until) : .usable
    }

    /// Whether a request may be sent now; of a source that failed, the first one keeps the others away for a while.
    mutating func admits(now: Double) -> Bool {
        guard availability(now: now) == .usable else { return false }
        if failingSince != nil { probeUntil = now + Self.probeTime }
        return true
    }

    mutating func answered() {
        probeUntil = -.infinity
    }

    mutating func succeeded() {
        failuresInARow = 0
        failingSince = nil
        excused = 0
        probeUntil = -.infinity
        standing = .delivers
    }

    mutating func failed(
        _ reason: String, hasAnswered: Bool, retryAfter: Double? = nil, now: Double, chance: Double
    ) {
        lastFailure = reason
        probeUntil = -.infinity
        if let retryAfter, now + retryAfter > busyUntil {
            excused = min(Self.longestExcuse, excused + now + retryAfter - max(now, busyUntil))
            busyUntil = now + retryAfter
        }
        if hasAnswered { standing = max(standing, .answers) }
        if failingSince == nil { failingSince = now }
        guard now >= restUntil else { return }
        failuresInARow += 1
        let bound = min(Self.longestRest, 0.5 * Double(1 << min(failuresInARow, 10)))
        restUntil = now + bound * (0.5 + chance / 2)
    }

    mutating func servedBadBytes(for digest: Digest, _ reason: String, now: Double) {
        lastFailure = reason
        corruptions[digest] = (now, reason)
        lastCorruption = now
        guard corruptions.count > Self.rememberedCorruptions else { return }
        let oldest = corruptions.min { $0.value.at < $1.value.at }
        if let oldest { corruptions[oldest.key] = nil }
    }

    /// Why a blob is not to be asked for; `nil` where it may be.
    func corruption(of digest: Digest, now: Double) -> String? {
        corruptions[digest].flatMap { now - $0.at < Self.corruptionMemory ? $0.reason : nil }
    }

    /// Whether it served bytes, not long ago, that did not hash to what was asked for.
    func isSuspect(now: Double) -> Bool {
        now - lastCorruption < Self.corruptionMemory
    }

    /// Whether nothing was delivered since the last failure.
    var isFailing: Bool { failingSince != nil }
}
