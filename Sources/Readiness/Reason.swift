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
        /// The fleet names no site in the environment.
        public static let noSites = Code(text: "no-sites")
        /// The generation was not promoted in the environment before.
        public static let notPromotedBefore = Code(text: "not-promoted-before")
        /// Somebody else staged or promoted the list while this was decided.
        public static let changedMeanwhile = Code(text: "changed-meanwhile")
        /// The site has no cache manifest.
        public static let silent = Code(text: "silent")
        /// The site's cache manifest cannot be read.
        public static let unreadable = Code(text: "unreadable")
        /// The cache manifest at the site's place is another environment's or site's.
        public static let misplaced = Code(text: "misplaced")
        /// There is a cache manifest of a site that the fleet does not name.
        public static let unknownSite = Code(text: "unknown-site")
        /// The cache manifest comes from the future: one of the two clocks is wrong.
        public static let clockSkew = Code(text: "clock-skew")
        /// The cache manifest has expired.
        public static let expired = Code(text: "expired")
        /// The site's verification is older than the environment allows.
        public static let stale = Code(text: "stale")
        /// The site has not verified the list at all.
        public static let unknownList = Code(text: "unknown-list")
        /// The site has verified another generation of the list.
        public static let otherGeneration = Code(text: "other-generation")
        /// The site has verified the generation, and misses entries.
        public static let incomplete = Code(text: "incomplete")
        /// The site's root and its missing entries contradict each other.
        public static let contradictory = Code(text: "contradictory")
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
