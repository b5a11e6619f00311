import OCI

/// What came of verifying an audit chain.
public struct AuditVerification: Hashable, Sendable {
    /// Something that does not fit.
    public struct Fault: Hashable, Sendable {
        /// The object.
        public let object: String
        /// What is wrong with it, and what that means.
        public let message: String
    }

    /// How many records there are.
    public internal(set) var records: Int64 = 0
    /// How many of them are signed, each by the key that it names.
    public internal(set) var signed: Int64 = 0
    /// How many of those by a key that the fleet file has for who did it; `nil` without a fleet file.
    public internal(set) var vouched: Int64?
    /// The records that the fleet file's keys should have signed and did not, by number: the first of them, at most
    /// `maximumStrangers`.
    public internal(set) var strangers: [Int64] = []
    /// How many there are.
    public internal(set) var strangerCount: Int64 = 0
    /// How many sites' manifests there are.
    public internal(set) var siteManifests = 0
    /// How many of them say how far the chain went, and agree with it.
    public internal(set) var witnesses = 0
    /// How many of those are signed by a key of their site, as the fleet file has it.
    public internal(set) var checkedWitnesses = 0
    /// The last record; what to compare a later verification with, to notice a chain that was cut off.
    public internal(set) var end = AuditHead.empty
    /// The first record, or other object, that does not fit; `nil` where all do.
    public internal(set) var fault: Fault?
    /// What cannot be told, or is still to be done: nothing that is wrong.
    public internal(set) var remarks: [String] = []

    /// The most records that are named as signed by nobody who should have.
    public static let maximumStrangers = 20

    mutating func take(_ walk: AuditWalk, fleet: Fleet?) {
        (records, end, signed) = (walk.end.sequence, walk.end, walk.signed)
        guard let fleet, let signers = walk.signers else { return }
        (vouched, strangers, strangerCount) = (signers.vouched, signers.strangers, signers.strangerCount)
        if fleet.coordinators.isEmpty, records > 0 {
            remarks.append(
                "the fleet file names no 'coordinators', so nobody can tell whether those who may decide signed what was"
                    + " decided")
        }
    }
}

/// What a chain comes to as it is read, record by record: a pure value.
struct AuditWalk {
    /// What was promoted under a list's name, as the chain says.
    struct Promotions {
        /// The last word up to where the chain was listed.
        var settled: Digest?
        /// The words after that.
        var since: [Digest?] = []
    }

    /// Hashes of records that are known from elsewhere, by number.
    let heads: [Int64: Digest]
    private let wanted: Set<Int64>
    private let settledAt: Int64
    private var links: AuditLinks
    private var repeated: (sequence: Int64, message: String)?
    private var ids: Set<UInt128> = []

    /// The last record that was read.
    private(set) var end = AuditHead.empty
    /// How many records are signed.
    private(set) var signed: Int64 = 0
    /// The hashes of the records that were asked for, by number.
    private(set) var digests: [Int64: Digest] = [:]
    /// What was promoted.
    private(set) var promotions: [EnvironmentName: [ListName: Promotions]] = [:]
    /// The waivers that were taken back, up to where the chain was listed.
    private(set) var revocations: [(environment: EnvironmentName, waiver: String, sequence: Int64)] = []
    /// Who signed.
    private(set) var signers: AuditSigners?

    /// - Parameters:
    ///   - heads: hashes of records that are known from elsewhere, by number
    ///   - wanted: of which records the hash is asked for
    ///   - settled: the last record that was there before anything else was read
    ///   - signers: who may have signed, where that is known
    init(heads: [Int64: Digest], wanted: Set<Int64>, settledAt settled: Int64, signers: AuditSigners?) {
        (self.heads, self.wanted, settledAt, self.signers) = (heads, wanted, settled, signers)
        links = AuditLinks(heads: heads)
    }

    /// Whether nothing that follows changes what the first fault is.
    var isSettled: Bool { links.isSettled }

    /// The first record that does not fit.
    var fault: (sequence: Int64, message: String)? {
        guard let fault = links.firstFault else { return repeated }
        return repeated.map { $0.sequence < fault.sequence ? $0 : fault } ?? fault
    }

    mutating func append(_ link: AuditLinks.Link, _ record: AuditRecord?) {
        links.append(link)
        end = AuditHead(sequence: end.sequence + 1, digest: link.digest)
        if wanted.contains(end.sequence) { digests[end.sequence] = link.digest }
        guard let record else { return }
        if record.signer != nil { signed += 1 }
        signers?.note(record)
        note(record.event)
    }

    private mutating func note(_ event: AuditEvent) {
        let id = UInt128(event.id, radix: 16)
        if id.map({ !ids.insert($0).inserted }) ?? true, repeated == nil {
            repeated = (
                end.sequence,
                id == nil
                    ? "its event's ID is '\(event.id.prefix(40))', which nobody writes"
                    : "an earlier record has the ID of its event: one of the two was written by somebody else, or what was"
                        + " signed once was recorded again"
            )
        }
        guard let environment = event.environment else { return }
        if event.action == .waiverRevoked, let id = event.details["waiver"], Waiver.isID(id), end.sequence <= settledAt
        {
            revocations.append((environment, id, end.sequence))
        }
        guard let list = event.list, [.promoted, .rolledBack].contains(event.action) else { return }
        if end.sequence <= settledAt {
            promotions[environment, default: [:]][list, default: Promotions()].settled = event.generation
        } else {
            promotions[environment, default: [:]][list, default: Promotions()].since.append(event.generation)
        }
    }
}

/// The links of a chain, without what they link: a pure value.
///
/// A record's hash is known twice: of its bytes, and from the record after it. Where the two differ, one of the two records
/// was changed; it is the later one if that does not have its own hash either. So from the first that does not fit on, some
/// more are kept.
struct AuditLinks {
    /// One record.
    struct Link {
        /// The hash of the object's bytes.
        let digest: Digest
        /// The hash of the record before, as the record has it.
        let previous: Digest?
        /// Why it cannot be a record at all.
        let defect: String?
    }

    /// How many records after the first that does not fit are looked at.
    static let lookahead = 64

    private let heads: [Int64: Digest]
    private var count: Int64 = 0
    /// The last record; or from the last that fits on, once one did not.
    private var window: [Link] = []
    private var isBroken = false

    /// - Parameter heads: hashes of records that are known from elsewhere, by number
    init(heads: [Int64: Digest]) { self.heads = heads }

    mutating func append(_ link: Link) {
        count += 1
        let fits = link.defect == nil && link.previous == window.last?.digest
        isBroken = isBroken || !fits
        window = isBroken ? window + [link] : [link]
    }

    /// Whether nothing that follows changes what the first fault is.
    var isSettled: Bool { isBroken && window.count > Self.lookahead }

    /// The first record that does not fit, counted from 1.
    var firstFault: (sequence: Int64, message: String)? {
        var first: (Int64, String)?
        var nextIsSound = true
        for index in window.indices.reversed() {
            let (link, sequence) = (window[index], count - Int64(window.count - 1 - index))
            let next = index + 1 < window.count ? window[index + 1] : nil
            let fault: String?
            if let defect = link.defect {
                fault = defect
            } else if let next, next.defect == nil, nextIsSound, next.previous != link.digest {
                fault = "its content is not what record \(sequence + 1) was written after: it was changed"
            } else if next == nil || !nextIsSound, let known = heads[sequence], known != link.digest {
                fault = "its content is not what was known of it: it was changed"
            } else if sequence == 1, link.previous != nil {
                fault = "it names a record before it, and is the first: records were removed"
            } else {
                fault = nil
            }
            nextIsSound = fault == nil
            if let fault { first = (sequence, fault) }
        }
        return first
    }
}
