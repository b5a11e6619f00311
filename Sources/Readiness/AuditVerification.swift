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
}

/// The links of a chain, without what they link: a pure value.
///
/// A record's hash is known twice: of its bytes, and from the record after it. Where the two differ, one of the two records
/// was changed; it is the later one if that does not have its own hash either.
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

    /// The records in order, from number 1.
    private(set) var links: [Link] = []

    mutating func append(_ link: Link) { links.append(link) }

    /// The first record that does not fit, counted from 1.
    ///
    /// - Parameter heads: hashes of records that are known from elsewhere, by number
    func firstFault(heads: [Int64: Digest]) -> (sequence: Int64, message: String)? {
        var first: (Int64, String)?
        var nextIsSound = true
        for index in links.indices.reversed() {
            let (link, sequence) = (links[index], Int64(index) + 1)
            let next = index + 1 < links.count ? links[index + 1] : nil
            let fault: String?
            if let defect = link.defect {
                fault = defect
            } else if let next, next.defect == nil, nextIsSound, next.previous != link.digest {
                fault = "its content is not what record \(sequence + 1) was written after: it was changed"
            } else if next == nil || !nextIsSound, let known = heads[sequence], known != link.digest {
                fault = "its content is not what was known of it: it was changed"
            } else if index == 0, link.previous != nil {
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
