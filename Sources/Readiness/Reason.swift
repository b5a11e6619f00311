public import OCI

/// Why a gate is closed, or a step refused: a code for programs and a sentence with the next step for people.
public struct Reason: Hashable, Sendable {
    /// Which reason. The texts are stable: programs may rely on them.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        /// The code in JSON output.
        public let text: String
        public var description: String { text }

        /// Nothing is staged under the list's name.
        public static let nothingStaged = Code(text: "nothing-staged")
        /// Another generation is staged than the one that was asked for.
        public static let anotherStaged = Code(text: "another-staged")
        /// Nothing is promoted under the list's name, or another generation than the one that was asked for.
        public static let notPromoted = Code(text: "not-promoted")
        /// The fleet names no site in the environment.
        public static let noSites = Code(text: "no-sites")
        /// The generation was not promoted in the environment before.
        public static let notPromotedBefore = Code(text: "not-promoted-before")
        /// Nothing was promoted before what is promoted, so there is nothing to return to.
        public static let nothingBefore = Code(text: "nothing-before")
        /// Somebody else staged or promoted the list while this was decided.
        public static let changedMeanwhile = Code(text: "changed-meanwhile")
        /// The environment's record says of the list what was true before, and was seen to be something else since.
        public static let recordReplayed = Code(text: "record-replayed")
        /// The audit chain lacks a record that a site has seen of it and signed, or has another one in its place.
        public static let auditCutOff = Code(text: "audit-cut-off")
        /// The site has no cache manifest.
        public static let silent = Code(text: "silent")
        /// The site's cache manifest cannot be read.
        public static let unreadable = Code(text: "unreadable")
        /// The cache manifest at the site's place is another environment's or site's.
        public static let misplaced = Code(text: "misplaced")
        /// The cache manifest speaks of another registry than the fleet file has for the site.
        public static let otherRegistry = Code(text: "other-registry")
        /// There is a cache manifest of a site that the fleet does not name.
        public static let unknownSite = Code(text: "unknown-site")
        /// The fleet file has no public key of the site, so nothing that it says can be checked.
        public static let noPublicKey = Code(text: "no-public-key")
        /// The site has a public key, and its cache manifest is not signed.
        public static let unsigned = Code(text: "unsigned")
        /// The cache manifest is signed, but not by a key of the site.
        public static let wronglySigned = Code(text: "wrongly-signed")
        /// The key that signed the cache manifest is no longer valid.
        public static let keyExpired = Code(text: "key-expired")
        /// An older cache manifest of the site than one that was seen before is in its place.
        public static let replayed = Code(text: "replayed")
        /// The site's cache manifest is new, but its sequence number is not: the agent's state went back, or two agents
        /// share the key.
        public static let sequenceRolledBack = Code(text: "sequence-rolled-back")
        /// The cache manifest comes from the future: one of the two clocks is wrong.
        public static let clockSkew = Code(text: "clock-skew")
        /// The cache manifest has expired.
        public static let expired = Code(text: "expired")
        /// The site's verification is older than the environment allows.
        public static let stale = Code(text: "stale")
        /// The gate asks for content that was read back, and the site has not read all of it yet.
        public static let contentUnread = Code(text: "content-unread")
        /// The site has read some of the content back longer ago than the environment allows.
        public static let contentStale = Code(text: "content-stale")
        /// The site has not verified the list at all.
        public static let unknownList = Code(text: "unknown-list")
        /// The site has verified another generation of the list.
        public static let otherGeneration = Code(text: "other-generation")
        /// The site has verified the generation, and misses entries.
        public static let incomplete = Code(text: "incomplete")
        /// The site's root and its missing entries contradict each other.
        public static let contradictory = Code(text: "contradictory")
        /// Several agents serve the site, and one of them has no cache manifest.
        public static let shardMissing = Code(text: "shard-missing")
        /// The site's agents do not agree on how many they are.
        public static let shardsDisagree = Code(text: "shards-disagree")
        /// The site's waiver has expired.
        public static let waiverExpired = Code(text: "waiver-expired")
        /// The site's waiver is for another generation.
        public static let waiverMismatched = Code(text: "waiver-mismatched")
        /// The site's waiver was taken back.
        public static let waiverRevoked = Code(text: "waiver-revoked")
        /// The site's waiver is not signed by an approver's valid key, or is malformed.
        public static let waiverInvalid = Code(text: "waiver-invalid")
    }

    /// Which reason.
    public let code: Code
    /// What is the case, and what to do next.
    public let message: String
    /// The missing entries, in the closure's order; only with `incomplete`.
    public let missing: [ClosureEntry]

    init(_ code: Code, _ message: String, missing: [ClosureEntry] = []) {
        self.code = code
        self.message = message
        self.missing = missing
    }
}
