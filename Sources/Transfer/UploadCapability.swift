import OCI
import Registry

/// What was learned about a registry's uploads, to be believed for a while. A pure value.
///
/// No specification says which registries take chunks or keep sessions, and versions and proxies change it; so each host
/// is tried, and what it does is remembered.
struct UploadCapability: Hashable, Sendable {
    /// Whether an upload may be sent in several PATCH requests. GHCR, GAR and ACR's smaller tiers refuse or lose them.
    var takesChunks = true
    /// Whether a session can be continued after a broken request. distribution 2.8 ends the session of a broken chunk,
    /// zot that of any broken request.
    var resumesSessions = true

    /// Nothing is believed longer than this many seconds: a week.
    static let lifetime: Int64 = 7 * 86_400
}

/// How a blob goes up, and how to go on when that breaks. A pure state machine: the driver sends what it says.
struct UploadPlan {
    /// What to send next.
    enum Step: Equatable {
        /// A fresh session, then the whole blob in the request that commits it.
        case monolithic
        /// A fresh session for chunks.
        case startSession
        /// The session's next chunk: bytes `[from, to)`.
        case chunk(from: Int64, to: Int64)
        /// The commit of a session that holds everything.
        case commit
        /// Where the registry says the session stands.
        case askStatus
        /// Nothing helps: the last error is the answer.
        case giveUp
    }

    /// How a step ended.
    enum Outcome: Equatable {
        /// The session holds bytes up to this offset.
        case sessionAt(Int64)
        case committed
        /// The connection or the server failed: it may pass.
        case broken
        /// The registry does not take this kind of request.
        case refused
        /// The registry means it: no right, no room.
        case denied
        /// The registry does not know the session.
        case sessionLost
        /// The registry says that the session stands elsewhere.
        case offsetRefused
        /// The registry would have committed something else than what we sent: bytes went astray in the session.
        case digestRefused
    }

    /// Blobs of at least this many bytes go in chunks: a broken request then costs one chunk, not all.
    static let chunkedFrom: Int64 = 48 << 20
    /// A chunk's length in bytes, where the registry demands no longer one.
    static let chunk: Int64 = 32 << 20
    /// Failures without progress after which the destination is given up.
    static let failureLimit = 8

    let size: Int64
    private(set) var capability: UploadCapability
    private var minimumChunk: Int64
    /// Where the session stands; `nil` without one.
    private var offset: Int64?
    private var failures = 0
    private var furthest: Int64 = 0
    private var lostSessions = 0
    /// Refused offsets since there was progress.
    private var refusedOffsets = 0
    private(set) var step: Step

    /// - Parameters:
    ///   - size: the blob's length in bytes
    ///   - capability: what is known of the host
    ///   - resumes: whether an earlier run left a session
    init(size: Int64, capability: UploadCapability, resumes: Bool = false) {
        self.size = size
        self.capability = capability
        minimumChunk = 0
        step = .monolithic
        step = resumes && capability.resumesSessions && capability.takesChunks ? .askStatus : fresh
    }

    private var fresh: Step { capability.takesChunks && size >= Self.chunkedFrom ? .startSession : .monolithic }

    /// Records how the step ended, and decides on the next.
    ///
    /// - Parameters:
    ///   - outcome: how the step ended
    ///   - minimumChunk: the least chunk that the registry asks for, in bytes
    mutating func ended(_ outcome: Outcome, minimumChunk: Int64? = nil) {
        // The registry may say any number.
        self.minimumChunk = max(self.minimumChunk, min(minimumChunk ?? 0, size))
        switch (step, outcome) {
        case (_, .committed): return
        case (_, .sessionAt(let position)):
            offset = min(max(0, position), size)
            if position > furthest {
                furthest = position
                failures = 0
                refusedOffsets = 0
            }
            step = position >= size ? .commit : .chunk(from: position, to: chunkEnd(position))
        case (_, .denied): step = .giveUp
        case (.chunk, .refused), (.startSession, .refused):
            // This registry wants it whole.
            capability.takesChunks = false
            fail(then: .monolithic)
        case (.chunk(from: 0, _), .sessionLost) where failures > 0,
            (.chunk(from: 0, _), .offsetRefused) where failures > 0:
            // Lost again at the first byte: it is chunks that it loses (GHCR answers them with 416).
            capability.takesChunks = false
            fail(then: .monolithic)
        case (.chunk, .broken), (.commit, .broken): fail(then: capability.resumesSessions ? .askStatus : fresh)
        case (.askStatus, .broken): fail(then: .askStatus)
        case (.askStatus, .sessionLost), (.askStatus, .refused), (.askStatus, .offsetRefused):
            // The first loss may be the registry's restart; one after the other is how it is.
            lostSessions += 1
            if lostSessions > 1 { capability.resumesSessions = false }
            fail(then: fresh)
        case (_, .offsetRefused):
            // A request that broke off may have been worked on still when the registry said where the session stood. One
            // that says the same again is wrong about itself (Amazon ECR: aws/containers-roadmap#2831).
            refusedOffsets += 1
            fail(then: refusedOffsets == 1 && offset ?? 0 > 0 && capability.resumesSessions ? .askStatus : fresh)
        case (_, .digestRefused):
            capability.resumesSessions = false
            fail(then: fresh)
        case (.monolithic, .refused): step = .giveUp
        case (_, .broken), (_, .sessionLost), (_, .refused): fail(then: fresh)
        }
    }

    private mutating func fail(then next: Step) {
        failures += 1
        offset = nil
        step = failures >= Self.failureLimit ? .giveUp : next
    }

    /// How many failures without progress there were, for the wait before the next step.
    var failuresInARow: Int { failures }

    private func chunkEnd(_ from: Int64) -> Int64 {
        let length = max(Self.chunk, minimumChunk)
        // No last crumb: registries may refuse a chunk below their minimum.
        return size - from <= length + length / 2 ? size : from + length
    }
}
